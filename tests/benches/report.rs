//! What was measured, for people and for programs.

use serde_json::{Map, Value, json};

use crate::machine;

/// One figure with its floor.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Workload, and which figure of it.
    pub(crate) workload: String,
    /// Unit of value and floor.
    pub(crate) unit: &'static str,
    /// What was measured.
    pub(crate) value: f64,
    /// The floor, in the same unit and run.
    pub(crate) floor: Option<f64>,
    /// What else is worth knowing.
    pub(crate) more: Vec<(String, f64)>,
}

impl Run {
    /// A figure.
    pub(crate) fn new(workload: &str, unit: &'static str, value: f64) -> Self {
        Self { workload: workload.to_owned(), unit, value, floor: None, more: Vec::new() }
    }

    /// With a floor.
    pub(crate) fn over(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// With a further figure.
    pub(crate) fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.more.push((name.into(), value));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.filter(|floor| *floor > 0.0).map(|floor| self.value / floor)
    }

    /// On one line.
    pub(crate) fn line(&self) -> String {
        let floor = match (self.floor, self.ratio()) {
            (Some(floor), Some(ratio)) => {
                format!("  floor {}  ratio {:.0} %", number(floor), 100.0 * ratio)
            }
            _ => String::new(),
        };
        let more: String =
            self.more.iter().map(|(name, value)| format!("  {name} {}", number(*value))).collect();
        format!("{:<26} {:>9} {}{floor}{more}", self.workload, number(self.value), self.unit)
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("workload".to_owned(), json!(self.workload));
        out.insert("unit".to_owned(), json!(self.unit));
        out.insert("value".to_owned(), json!(self.value));
        out.insert("floor".to_owned(), json!(self.floor));
        out.insert("ratio".to_owned(), json!(self.ratio()));
        for (name, value) in &self.more {
            out.insert(name.clone(), json!(value));
        }
        Value::Object(out)
    }
}

/// Everything of one call.
#[derive(Debug)]
pub(crate) struct Report {
    /// In the order of measuring.
    pub(crate) runs: Vec<Run>,
}

impl Report {
    pub(crate) const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let machine = machine::description();
        let lines: Vec<String> = self.runs.iter().map(Run::line).collect();
        format!("{machine}\n{}", lines.join("\n"))
    }

    /// For programs: `{ machine, runs }`.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(Run::json).collect();
        json!({ "machine": machine::description(), "runs": runs })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
