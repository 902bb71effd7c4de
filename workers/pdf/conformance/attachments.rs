//! 6.8: attachments. Part 2 allows only PDF/A files; part 3 allows any.
//! So our documents of part 2 have none.

use lopdf::Dictionary;
use sha2::{Digest as _, Sha256};

use crate::file::{File, decoded, dictionary};
use crate::metadata::Claim;
use crate::report::Report;

pub(crate) fn check(file: &File, claim: &Claim, report: &mut Report) {
    let specifications: Vec<&Dictionary> =
        file.dictionaries().into_iter().filter(|one| one.has(b"EF") || one.has_type(b"Filespec")).collect();
    let associated: Vec<&Dictionary> = file
        .list(file.catalog(), "AF")
        .into_iter()
        .filter_map(|one| dictionary(file.resolve(one)?))
        .collect();
    let named = names(file);
    if claim.part == Some(2) {
        let has_none = specifications.is_empty() && named.is_empty();
        report.require(has_none, "6.8-5", "a PDF/A-2 file has an attachment");
        report.require(claim.data.is_none(), "6.8-5", "the metadata has the hash of a missing attachment");
        return;
    }
    let has_any = !specifications.is_empty();
    report.require(has_any, "6.8", "a PDF/A-3 file has no attachment; it should be PDF/A-2");
    let mut hashes = Vec::new();
    for one in &specifications {
        let name = file.text(one, "F").filter(|name| !name.is_empty());
        let is_named = name.is_some() && name == file.text(one, "UF");
        report.require(is_named, "6.8-2", "F and UF of an attachment differ or are missing");
        let relation = matches!(
            file.name(one, "AFRelationship"),
            Some("Source" | "Data" | "Alternative" | "Supplement" | "Unspecified")
        );
        report.require(relation, "6.8-3", "AFRelationship of an attachment is missing or unknown");
        let is_associated = associated.iter().any(|other| std::ptr::eq(*other, *one));
        report.require(is_associated, "6.8-4", "an attachment is not in AF of the catalog");
        let is_listed = named.iter().any(|other| std::ptr::eq(*other, *one));
        report.require(is_listed, "7.11.4", "an attachment is not in the EmbeddedFiles of the catalog");
        let is_described = file.text(one, "Desc").is_some_and(|text| !text.is_empty());
        report.require(is_described, "6.8", "an attachment has no description");
        let Some(stream) = file.dictionary(one, "EF").and_then(|kept| file.stream(kept, "F")) else {
            report.add("6.8-2", "the content of an attachment is missing");
            continue;
        };
        let media = file.name(&stream.dict, "Subtype").unwrap_or_default();
        let typed = media.split_once('/').is_some_and(|(kind, own)| is_token(kind) && is_token(own));
        report.require(typed, "6.8-1", "an attachment has no media type");
        let bytes = decoded(stream);
        let about = file.dictionary(&stream.dict, "Params");
        let size = about.and_then(|about| file.integer(about, "Size"));
        let is_sized = size == i64::try_from(bytes.len()).ok();
        report.require(is_sized, "7.11.4", "Size of an attachment differs from its length");
        let is_dated = about.is_some_and(|about| about.has(b"ModDate"));
        report.require(is_dated, "6.8", "an attachment has no ModDate");
        if media == "application/json" {
            let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            report.require(is_json, "6.8", "attached JSON cannot be parsed");
        }
        hashes.push(hex::encode(Sha256::digest(&bytes)));
    }
    let is_stated = claim.data.as_ref().is_some_and(|hash| hashes.contains(hash));
    report.require(is_stated, "6.8", "the metadata has no hash of any attachment");
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

fn names<'f>(file: &'f File) -> Vec<&'f Dictionary> {
    let tree =
        file.dictionary(file.catalog(), "Names").and_then(|names| file.dictionary(names, "EmbeddedFiles"));
    let list = tree.map(|tree| file.list(tree, "Names")).unwrap_or_default();
    list.into_iter().skip(1).step_by(2).filter_map(|one| dictionary(file.resolve(one)?)).collect()
}
