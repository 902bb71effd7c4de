//! `hosho obligees show`

use super::{
    super::{name_of, print_table, print_text, table},
    kinds, print, printable, products,
};
use crate::{
    operations::obligees::{Limit, Rules},
    reference::obligees::{LimitValue, Origin},
};

pub(super) fn print_rules(rules: &Rules) {
    print_text(printable(&format!("{} {}  職名 {}", rules.code, rules.name, rules.title)));
    print_electronic(rules);
    print_limits(rules);
    print("\nSubmission of the notice");
    let mut rows = table(["products", "by", "to", "subject"]);
    let rest = if rules.submission.len() == 1 { "all" } else { "all others" };
    for rule in &rules.submission {
        let whom = [&rule.department, &rule.mail_address, &rule.system]
            .into_iter()
            .flatten()
            .map(|text| printable(text));
        rows.add_row([
            rule.products.as_ref().map_or_else(|| rest.to_owned(), |given| products(given, "\n")),
            name_of(rule.channel),
            whom.collect::<Vec<_>>().join("\n"),
            rule.subject.as_deref().map_or_else(|| "any".to_owned(), printable),
        ]);
    }
    print_table(rows);
}

fn print_electronic(Rules { on, electronic, .. }: &Rules) {
    if electronic.is_empty() {
        print("\nElectronic (電子保証): nothing, paper only");
        return;
    }
    print("\nElectronic (電子保証); all else on paper");
    let mut rows =
        table(["products", "for", "from", "compared with", "older contracts", &format!("on {on}")]);
    for acceptance in electronic {
        let begun = match (acceptance.from, acceptance.begun) {
            (None, _) => "accepted",
            (_, Some(true)) => "begun",
            _ => "not begun",
        };
        rows.add_row([
            products(&acceptance.products, "\n"),
            kinds(&acceptance.kinds, "\n"),
            acceptance.from.map_or_else(|| "no first day".to_owned(), |from| from.to_string()),
            acceptance.basis.map_or("", |basis| basis.ja()).to_owned(),
            acceptance.older_contracts.map(name_of).unwrap_or_default(),
            begun.to_owned(),
        ]);
    }
    print_table(rows);
}

fn print_limits(Rules { on, limits, .. }: &Rules) {
    print(format!("\nLimits where the {} ({}) is {on}", limits.basis.en(), limits.basis.ja()));
    let value =
        |value: Option<LimitValue>| value.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
    let mut rows = table(["limit", "日本語", "value", "set by"]);
    for limit in &limits.values {
        let origin = match limit.origin {
            Origin::National => "national",
            Origin::DisasterArea => "national, disaster area",
            Origin::Own => "obligee",
        };
        rows.add_row([&limit.field.to_string(), limit.field.ja(), &value(limit.value), origin]);
    }
    if let Some(column) = rows.column_mut(2) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    print_table(rows);
    if let Some(since) = limits.since {
        print(format!("In force since {since}."));
    }
    let Some(from) = limits.next_change else {
        return print("No later change is configured.");
    };
    print(format!("They change on {from}:"));
    for Limit { field, value: now, next, .. } in
        limits.values.iter().filter(|limit| limit.next != limit.value)
    {
        print_text(format!("  {field}  {} → {}", value(*now), value(*next)));
    }
}
