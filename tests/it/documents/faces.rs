//! Font faces with each kind of outline.

use std::io::Write as _;

use hosho::{app, config::Config, pdf::FontPaths};

#[test]
fn every_kind_of_face_renders_every_template() {
    for (mincho, gothic, packages) in [
        ("Noto Serif CJK JP", "Noto Sans CJK JP", "fonts-noto-cjk"),
        (
            "BIZ UDMincho,VL Gothic",
            "BIZ UDGothic",
            "fonts-morisawa-bizud-mincho, fonts-morisawa-bizud-gothic",
        ),
    ] {
        let names: Vec<String> = mincho.split(',').map(str::to_owned).collect();
        if FontPaths::find(&names, &[gothic.to_owned()]).is_err() {
            // The test runner does not capture this, so that the skip is visible.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: every_kind_of_face_renders_every_template: {mincho}, {gothic} ({packages}) are not installed"
            );
            continue;
        }
        let settings = [("fonts.mincho", Some(mincho.to_owned())), ("fonts.gothic", Some(gothic.to_owned()))];
        let renderer = app::checked_renderer(&Config::load(None, &settings).unwrap()).unwrap();
        let text = "令和8年7月1日　前払金保証　か\u{309A}セ\u{309A}　辻\u{E0100}　髙﨑𠮷";
        assert_eq!(renderer.fonts().missing(text), Vec::<char>::new(), "{mincho}");
    }
}
