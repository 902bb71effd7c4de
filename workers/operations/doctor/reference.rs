//! Reference data, fonts and templates.

use super::Finding;
use crate::{app, config::Config, fault::chain};

pub(super) fn obligees(config: &Config) -> Finding {
    match app::data(config) {
        Ok(data) => {
            Finding::ok("obligees, surety", format!("{} obligees, all valid", data.obligees.iter().count()))
        }
        Err(error) => Finding::failure(
            "obligees, surety",
            chain(&error),
            "correct the named file, then run `hosho obligees check`",
        ),
    }
}

pub(super) fn fonts(config: &Config) -> Finding {
    // Characters of names that ordinary fonts lack.
    const RARE: &str = "髙﨑𠮷槗";
    let fonts = match app::fonts(&config.fonts) {
        Ok(fonts) => fonts,
        Err(error) => {
            return Finding::failure(
                "fonts",
                chain(&error),
                "run `apt-get install fonts-ipaexfont fonts-vlgothic`, or correct [fonts]",
            );
        }
    };
    let missing = fonts.missing(RARE);
    if missing.is_empty() {
        let text = format!("{} files with the rare characters of names", fonts.loaded().count());
        return Finding::ok("fonts", text);
    }
    let missing: String = missing.into_iter().collect();
    Finding::warning(
        "fonts",
        format!("no glyph for {missing}"),
        "install fonts-vlgothic or fonts-ipamj-mincho, or name it last in [fonts]: \
         applications with such names are rejected",
    )
}

pub(super) fn templates(config: &Config) -> Finding {
    match app::proved_press(config) {
        Ok(_) => Finding::ok("templates", "every template renders with every sample"),
        Err(error) => {
            Finding::failure("templates", chain(&error), "run `hosho templates check`: it names the place")
        }
    }
}
