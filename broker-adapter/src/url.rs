//! The little of RFC 3986 that a backbone's URL needs.

use crate::BackboneError;

/// `scheme://[user[:password]@]authority[/path][?name=value&...]`, percent-decoded. The authority
/// may be a list of hosts, which is why no general parser serves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) login: Option<(String, String)>,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
}

/// Takes a URL apart. Its errors do not repeat it: it may hold a password.
pub(crate) fn parts(url: &str) -> Result<Parts, BackboneError> {
    let (_, rest) = url.split_once("://").ok_or_else(|| BackboneError::Url("no ://".to_owned()))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let (login, authority) = match authority.rsplit_once('@') {
        Some((login, authority)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (Some((decode(user)?, decode(password)?)), authority)
        }
        None => (None, authority),
    };
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect::<Result<_, BackboneError>>()?;
    Ok(Parts { login, authority: authority.to_owned(), path: decode(path)?, query })
}

/// RFC 3986 §2.1.
fn decode(text: &str) -> Result<String, BackboneError> {
    let bad = || BackboneError::Url("bad percent-encoding".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || bytes.next().and_then(|d| char::from(d).to_digit(16));
        let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
        out.push(u8::try_from(16 * high + low).map_err(|_| bad())?);
    }
    String::from_utf8(out).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_hosts_with_login_and_properties() {
        let p = parts("kafka://u%40x:p%2Fw@a:1,b:2?security.protocol=ssl&x=%20").unwrap();
        assert_eq!(p.login, Some(("u@x".to_owned(), "p/w".to_owned())));
        assert_eq!(p.authority, "a:1,b:2");
        assert_eq!(p.query[0], ("security.protocol".to_owned(), "ssl".to_owned()));
        assert_eq!(p.query[1].1, " ");
    }

    #[test]
    fn a_file() {
        let p = parts("embedded:///var/lib/pli/b%20b.db").unwrap();
        assert_eq!((p.authority.as_str(), p.path.as_str()), ("", "/var/lib/pli/b b.db"));
    }

    #[test]
    fn broken_ones_are_refused_without_repeating_them() {
        for bad in ["embedded:/x", "kafka://u:se%zzcret@h", "kafka://u:%ff@h", "x://a/%1"] {
            let error = parts(bad).unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
        }
    }
}
