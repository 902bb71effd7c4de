use chrono::NaiveDateTime;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Shown in the title bar of the viewer.
    pub title: String,
    pub author: String,
    /// Never an authentication key: any viewer shows the metadata.
    pub subject: String,
    /// Date of creation, UTC.
    pub created: NaiveDateTime,
    /// Number of the guarantee (保証契約番号).
    pub number: String,
    /// Revision of the guarantee, 0 for the first.
    pub revision: i64,
    pub attachment: Option<Attachment>,
}

/// A file inside the PDF, so that programs need not parse the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// File name, ASCII.
    pub name: &'static str,
    /// Shown by viewers beside the name.
    pub description: &'static str,
    /// For example `application/json`.
    pub media_type: &'static str,
    pub content: Vec<u8>,
}
