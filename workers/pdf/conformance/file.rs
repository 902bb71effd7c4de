use std::sync::LazyLock;

use lopdf::{Dictionary, Document, Object, Stream};

pub(crate) struct File<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) document: Document,
}

/// The dictionary of a dictionary or stream.
pub fn dictionary(object: &Object) -> Option<&Dictionary> {
    match object {
        Object::Dictionary(dictionary) => Some(dictionary),
        Object::Stream(stream) => Some(&stream.dict),
        _ => None,
    }
}

pub fn decoded(stream: &Stream) -> Vec<u8> {
    if stream.dict.has(b"Filter") {
        stream.decompressed_content().unwrap_or_default()
    } else {
        stream.content.clone()
    }
}

/// Its methods with a key resolve references.
impl File<'_> {
    pub(crate) fn resolve<'f>(&'f self, object: &'f Object) -> Option<&'f Object> {
        self.document.dereference(object).ok().map(|(_, object)| object).filter(|object| !object.is_null())
    }

    pub(crate) fn value<'f>(&'f self, dictionary: &'f Dictionary, key: &str) -> Option<&'f Object> {
        self.resolve(dictionary.get(key.as_bytes()).ok()?)
    }

    pub(crate) fn dictionary<'f>(&'f self, parent: &'f Dictionary, key: &str) -> Option<&'f Dictionary> {
        dictionary(self.value(parent, key)?)
    }

    pub(crate) fn stream<'f>(&'f self, parent: &'f Dictionary, key: &str) -> Option<&'f Stream> {
        self.value(parent, key)?.as_stream().ok()
    }

    pub(crate) fn name<'f>(&'f self, parent: &'f Dictionary, key: &str) -> Option<&'f str> {
        std::str::from_utf8(self.value(parent, key)?.as_name().ok()?).ok()
    }

    pub(crate) fn integer(&self, parent: &Dictionary, key: &str) -> Option<i64> {
        self.value(parent, key)?.as_i64().ok()
    }

    pub(crate) fn is_true(&self, parent: &Dictionary, key: &str) -> bool {
        matches!(self.value(parent, key), Some(Object::Boolean(true)))
    }

    /// An array. A single value counts as an array of one.
    pub(crate) fn list<'f>(&'f self, parent: &'f Dictionary, key: &str) -> Vec<&'f Object> {
        match self.value(parent, key) {
            Some(Object::Array(array)) => array.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        }
    }

    pub(crate) fn text(&self, parent: &Dictionary, key: &str) -> Option<String> {
        let bytes = self.value(parent, key)?.as_str().ok()?;
        match bytes.strip_prefix(&[0xFE, 0xFF]) {
            None => String::from_utf8(bytes.to_vec()).ok(),
            Some(units) => {
                let units: Vec<u16> = units
                    .chunks(2)
                    .map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
                    .collect();
                String::from_utf16(&units).ok()
            }
        }
    }

    pub(crate) fn catalog(&self) -> &Dictionary {
        static EMPTY: LazyLock<Dictionary> = LazyLock::new(Dictionary::new);
        self.document.catalog().unwrap_or(&EMPTY)
    }

    pub(crate) fn pages(&self) -> Vec<&Dictionary> {
        self.document.page_iter().filter_map(|id| self.document.get_dictionary(id).ok()).collect()
    }

    /// Every dictionary of the file, nested ones and those of streams included.
    pub(crate) fn dictionaries(&self) -> Vec<&Dictionary> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Object> = self.document.objects.values().collect();
        while let Some(object) = waiting.pop() {
            if let Object::Array(array) = object {
                waiting.extend(array);
            }
            if let Some(dictionary) = dictionary(object) {
                waiting.extend(dictionary.iter().map(|(_, value)| value));
                found.push(dictionary);
            }
        }
        found
    }
}
