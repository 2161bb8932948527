//! Writes the published contract beside the crate: JSON Schemas, OpenAPI, AsyncAPI, CDDL, pages.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, contents) in schemas::generate::generated() {
        let file = root.join(&path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::read_to_string(&file).is_ok_and(|old| old == contents) {
            continue;
        }
        fs::write(&file, contents)?;
        eprintln!("written: {path}");
    }
    Ok(())
}
