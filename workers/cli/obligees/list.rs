//! `hosho obligees list`

use std::process::ExitCode;

use serde::Serialize;

use super::{
    super::{output, table},
    Error, ShownAcceptance, kinds, print, printable, products,
};
use crate::reference::obligees::Registry;

#[derive(Debug, Serialize)]
struct Shown<'a> {
    code: &'a str,
    name: &'a str,
    title: &'a str,
    electronic: Vec<ShownAcceptance>,
}

pub(super) fn run(registry: &Registry, json: bool) -> Result<ExitCode, Error> {
    let shown = registry.iter().map(|obligee| Shown {
        code: &obligee.code,
        name: &obligee.name,
        title: &obligee.title,
        electronic: ShownAcceptance::all(obligee, None),
    });
    output(json, &shown.collect::<Vec<_>>(), |_| print_table(registry))
}

fn print_table(registry: &Registry) {
    let mut table = table(["code", "name", "electronic", "for", "since"]);
    for obligee in registry.iter() {
        let (code, name) = (printable(&obligee.code), printable(&obligee.name));
        if obligee.electronic.is_empty() {
            table.add_row([code.as_str(), name.as_str(), "no: paper", "", ""]);
        }
        for (index, acceptance) in obligee.electronic.iter().enumerate() {
            let (code, name) = if index == 0 { (code.as_str(), name.as_str()) } else { ("", "") };
            let since = acceptance.start.map_or_else(
                || "no first day".to_owned(),
                |start| format!("{} {}", start.on, start.basis.ja()),
            );
            let (products, kinds) = (products(&acceptance.products, "、"), kinds(&acceptance.kinds, "、"));
            table.add_row([code, name, &products, &kinds, &since]);
        }
    }
    print(table);
}
