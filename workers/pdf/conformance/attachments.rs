//! 6.8: files within the file. Part 2 allows only PDF/A files, so ours have none; part 3 allows any.

use lopdf::Dictionary;
use sha2::{Digest as _, Sha256};

use super::metadata::Claim;
use super::{File, Report, dictionary, plain};

pub(super) fn check(file: &File, claim: &Claim, report: &mut Report) {
    let specifications: Vec<&Dictionary> =
        file.dictionaries().into_iter().filter(|one| one.has(b"EF") || one.has_type(b"Filespec")).collect();
    let associated: Vec<&Dictionary> =
        file.list(file.catalog(), "AF").into_iter().filter_map(|one| dictionary(file.follow(one)?)).collect();
    let named = names(file);
    if claim.part == Some(2) {
        report.expect(
            specifications.is_empty() && named.is_empty(),
            "6.8-5",
            "a PDF/A-2 file carries a file that is no PDF/A",
        );
        report.expect(claim.data.is_none(), "6.8-5", "the metadata tells of data that is not there");
        return;
    }
    report.expect(!specifications.is_empty(), "6.8", "a PDF/A-3 file carries nothing: it might be PDF/A-2");
    let mut hashes = Vec::new();
    for one in &specifications {
        let name = file.text(one, "F").filter(|name| !name.is_empty());
        report.expect(
            name.is_some() && name == file.text(one, "UF"),
            "6.8-2",
            "an attachment has not the same name twice",
        );
        let relation = matches!(
            file.name(one, "AFRelationship"),
            Some("Source" | "Data" | "Alternative" | "Supplement" | "Unspecified")
        );
        report.expect(relation, "6.8-3", "an attachment does not say what it is to the document");
        report.expect(
            associated.iter().any(|other| std::ptr::eq(*other, *one)),
            "6.8-4",
            "an attachment belongs to nothing",
        );
        report.expect(
            named.iter().any(|other| std::ptr::eq(*other, *one)),
            "7.11.4",
            "an attachment is not listed where readers look",
        );
        report.expect(
            file.text(one, "Desc").is_some_and(|text| !text.is_empty()),
            "6.8",
            "an attachment is not described",
        );
        let Some(stream) = file.dictionary(one, "EF").and_then(|kept| file.stream(kept, "F")) else {
            report.tell("6.8-2", "an attachment is not in the file");
            continue;
        };
        let media = file.name(&stream.dict, "Subtype").unwrap_or_default();
        let typed = media.split_once('/').is_some_and(|(kind, own)| is_token(kind) && is_token(own));
        report.expect(typed, "6.8-1", "an attachment has no media type");
        let bytes = plain(stream);
        let about = file.dictionary(&stream.dict, "Params");
        let size = about.and_then(|about| file.integer(about, "Size"));
        report.expect(
            size == i64::try_from(bytes.len()).ok(),
            "7.11.4",
            "an attachment is not as long as it says",
        );
        report.expect(
            about.is_some_and(|about| about.has(b"ModDate")),
            "6.8",
            "an attachment does not say when it was made",
        );
        if media == "application/json" {
            report.expect(
                serde_json::from_slice::<serde_json::Value>(&bytes).is_ok(),
                "6.8",
                "attached data cannot be read",
            );
        }
        hashes.push(hex::encode(Sha256::digest(&bytes)));
    }
    let is_told = claim.data.as_ref().is_some_and(|hash| hashes.contains(hash));
    report.expect(is_told, "6.8", "the metadata does not hold the hash of an attachment");
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

/// The attachments by the document's names.
fn names<'f>(file: &'f File) -> Vec<&'f Dictionary> {
    let tree =
        file.dictionary(file.catalog(), "Names").and_then(|names| file.dictionary(names, "EmbeddedFiles"));
    let list = tree.map(|tree| file.list(tree, "Names")).unwrap_or_default();
    list.into_iter().skip(1).step_by(2).filter_map(|one| dictionary(file.follow(one)?)).collect()
}
