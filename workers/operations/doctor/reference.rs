//! Reference data, fonts and templates.

use super::Finding;
use crate::{app, config::Config, fault::chain, reference::ReferenceData};

pub(super) fn obligees(config: &Config) -> Finding {
    let valid = |data: ReferenceData| format!("{} obligees, all valid", data.obligees.iter().count());
    Finding::of(
        "obligees, surety",
        app::data(config).map(valid).map_err(|error| chain(&error)),
        "correct the named file, then run `hosho obligees check`",
    )
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
    let rendered = app::checked_renderer(config).map(|_| "every template renders with every sample");
    let hint = "run `hosho templates check`: it names the place";
    Finding::of("templates", rendered.map_err(|error| chain(&error)), hint)
}
