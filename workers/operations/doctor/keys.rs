//! The data keys, and whether every key in use is among them.

use super::Finding;
use crate::{config::Config, fault::chain, keys::KeyRing};

/// `used`: the data keys of authentication keys; `None` without a database.
pub(super) fn check(config: &Config, used: Option<&[String]>) -> Vec<Finding> {
    let is_missing = config.keys.ring.is_none() && !config.keys.file.exists();
    let ring = match load(config) {
        // No authentication key is sealed yet, so none is lost.
        Err(_) if is_missing && used.is_some_and(<[String]>::is_empty) => {
            return vec![no_key_yet(config)];
        }
        Err(problem) => {
            let restore = "restore keys.file: without it no stored authentication key can be opened";
            let create = "in a new installation, start one worker with HOSHO__KEYS__CREATE=true; otherwise ";
            let hint = if is_missing { format!("{create}{restore}") } else { restore.to_owned() };
            return vec![Finding::failure("data keys", problem, hint)];
        }
        Ok(ring) => ring,
    };
    let active = Finding::ok("data keys", format!("the active one is {}", ring.active_id()));
    let sealed = used.map(|used| {
        let missing: Vec<&str> = used.iter().map(String::as_str).filter(|id| !ring.holds(id)).collect();
        if missing.is_empty() {
            Finding::ok("sealed keys", format!("every data key in use is present ({})", used.len()))
        } else {
            Finding::failure(
                "sealed keys",
                format!("sealed with data keys that are missing: {}", missing.join(" ")),
                "restore their lines in keys.file",
            )
        }
    });
    std::iter::once(active).chain(sealed).collect()
}

fn no_key_yet(config: &Config) -> Finding {
    let text = format!("no key yet: there is no {}, and nothing was sealed", config.keys.file.display());
    if config.keys.create {
        return Finding::ok("data keys", format!("{text}; the first run creates it"));
    }
    Finding::warning(
        "data keys",
        text,
        "create it once: start one worker with HOSHO__KEYS__CREATE=true, keep a copy elsewhere; \
         the mint stage needs it",
    )
}

/// Reads the data keys, and creates none.
fn load(config: &Config) -> Result<KeyRing, String> {
    let ring = match &config.keys.ring {
        Some(ring) => KeyRing::parse(ring.expose(), "keys.ring"),
        None => KeyRing::load(&config.keys.file),
    };
    ring.map_err(|error| chain(&error))
}
