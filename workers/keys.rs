//! Authentication keys (認証キー), and the data keys that seal them.
//! The only module that names the ciphers.
//!
//! **The key** is 12 characters of [`ALPHABET`], drawn from the operating system's random source by rejection
//! sampling: 33 symbols, 12 × log2 33 = 60.5 bits. An obligee types it from paper, so no two symbols look
//! alike: the groups `0Oo`, `1lIij`, `2Zz`, `5S`, `8B`, `4A`, `UVv` and `69` (which `b`, `G` and `g`
//! resemble) are left out, and of the characters whose capital differs only in size (`Cc`, `Kk`, `Pp`, `Ww`
//! …) only one case is used. A key has no check digit: the registry refuses a wrong one anyway.
//!
//! **At rest** a key is sealed with XChaCha20-Poly1305 under a data key, as `nonce ‖ ciphertext ‖ tag`. The
//! associated data names the guarantee and the data key, so that a sealed key copied into another guarantee's
//! row does not open. The 192-bit nonce may be random without counting messages, which AES-GCM's 96 bits
//! would require. For verification a keyed hash (HMAC-SHA256 over number and key) is kept beside it: it can
//! be looked up without opening anything, and without its key 60 bits cannot be tried from a stolen database.
//!
//! **The key ring** is a text of lines (`#` begins a comment):
//!
//! ```text
//! k-2f91c0aa <64 hexadecimal digits>     the first data key seals, every data key opens
//! k-77d0b1e2 <64 hexadecimal digits>
//! lookup <64 hexadecimal digits>         the key of the keyed hash
//! ```
//!
//! To rotate, put a new line on top and keep the old ones. In an environment variable `;` may replace the
//! line break. TOML was rejected: a parser would hold copies of the keys that are never wiped.
//!
//! Nothing secret here has `Debug`, `Display` or serde; errors name the source and the line, never the value.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use hosho_schema::models::chain_head::ChainHead;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

pub const ALPHABET: &[u8; 33] = b"37CDEFGHJKLMNPQRTWXYabdefghmnrstu";

pub const KEY_LENGTH: usize = 12;

const NONCE_LENGTH: usize = 24;

/// Sealed documents have a multiple of this many bytes.
/// The exact length of a compressed document would rule out some guesses of its key.
const PADDED_TO: usize = 4096;

/// Zeros follow.
const END_OF_DOCUMENT: u8 = 0x80;

/// Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot draw random bytes from the operating system")]
    Random(#[source] getrandom::Error),
    #[error("cannot read the key ring {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot create the key ring {path}", path = path.display())]
    Create { path: PathBuf, source: std::io::Error },
    #[error(
        "the key ring {path} is open to others (mode {mode:03o}); run: chmod 600 {path}, or mount it with mode \
         0440 and a group of ours, or give it as keys.ring",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key ring {path} belongs to another user (uid {uid}), who could replace it", path = path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("{origin}, line {line}: {problem}")]
    Line { origin: String, line: usize, problem: &'static str },
    #[error("{origin} has no {missing}")]
    Incomplete { origin: String, missing: &'static str },
    #[error("data key {data_key_id} is not in the key ring; put its line back")]
    UnknownDataKey { data_key_id: String },
    #[error("cannot seal an authentication key")]
    Seal,
    /// The bytes were changed, or not sealed with this data key for this guarantee.
    #[error("a sealed authentication key does not open with data key {data_key_id}")]
    Open { data_key_id: String },
    /// The bytes were sealed for another document, or were changed.
    #[error("a sealed document does not open with data key {data_key_id}")]
    OpenDocument { data_key_id: String },
    #[error("not an authentication key: {KEY_LENGTH} characters A-Z, a-z and 0-9 are expected")]
    Malformed,
}

/// An authentication key (認証キー). Wiped when dropped.
pub struct AuthenticationKey(Zeroizing<String>);

impl AuthenticationKey {
    pub fn mint() -> Result<Self, KeyError> {
        // The largest multiple of the alphabet's size that a byte can hold: what is above would favour the
        // first symbols.
        const FAIR: usize = 256 - 256 % ALPHABET.len();
        let mut key = Zeroizing::new(String::with_capacity(KEY_LENGTH));
        let mut bytes = Zeroizing::new([0_u8; 2 * KEY_LENGTH]);
        while key.len() < KEY_LENGTH {
            getrandom::fill(bytes.as_mut()).map_err(KeyError::Random)?;
            let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < FAIR);
            for byte in fair.take(KEY_LENGTH - key.len()) {
                key.push(char::from(ALPHABET[byte % ALPHABET.len()]));
            }
        }
        Ok(Self(key))
    }

    /// Parses a typed or opened key: 12 characters A-Z, a-z and 0-9.
    /// They may be of any alphabet we ever used.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() == KEY_LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(KeyError::Malformed)
        }
    }

    /// The key itself. It may go into the notice PDF and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub data_key_id: String,
    /// Nonce (24 bytes), ciphertext, tag (16 bytes).
    pub bytes: Vec<u8>,
}

type Secret = Zeroizing<[u8; 32]>;

/// The data keys and the key of the keyed hash.
pub struct KeyRing {
    active: DataKey,
    older: Vec<DataKey>,
    lookup: Secret,
}

struct DataKey {
    id: String,
    secret: Secret,
}

impl KeyRing {
    /// `origin` (a file or an environment variable) is named in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let mut data_keys: Vec<DataKey> = Vec::new();
        let mut lookup = None;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default()).zip(1..);
        let entries =
            lines.flat_map(|(line, number)| line.split(';').map(move |entry| (entry.trim(), number)));
        for (entry, line) in entries.filter(|(entry, _)| !entry.is_empty()) {
            let problem = |problem| KeyError::Line { origin: origin.to_owned(), line, problem };
            let (id, hex) = entry
                .split_once(char::is_whitespace)
                .ok_or_else(|| problem("expected an id, a space and 64 hexadecimal digits"))?;
            let secret = decode(hex.trim()).ok_or_else(|| problem("the key is not 64 hexadecimal digits"))?;
            if secret.iter().all(|byte| *byte == secret[0]) {
                return Err(problem("the key is one byte repeated: draw it at random"));
            }
            if id == "lookup" {
                if lookup.replace(secret).is_some() {
                    return Err(problem("a second lookup key"));
                }
            } else if id.len() > 32
                || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            {
                return Err(problem("an id has up to 32 characters A-Z, a-z, 0-9, - and _"));
            } else if data_keys.iter().any(|key| key.id == id) {
                return Err(problem("an id occurs twice"));
            } else {
                data_keys.push(DataKey { id: id.to_owned(), secret });
            }
        }
        let incomplete = |missing| KeyError::Incomplete { origin: origin.to_owned(), missing };
        if data_keys.is_empty() {
            return Err(incomplete("data key"));
        }
        let active = data_keys.remove(0);
        Ok(Self { active, older: data_keys, lookup: lookup.ok_or_else(|| incomplete("lookup key"))? })
    }

    /// Reads a key ring from a file that no other user can read or replace.
    /// Mode 0440 is accepted with a group of our own, as Kubernetes mounts it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.to_owned(), source };
        let mut file = std::fs::File::open(path).map_err(read)?;
        let opened = file.metadata().map_err(read)?;
        let ours = [rustix::process::geteuid().as_raw(), 0];
        let is_ours = |metadata: &std::fs::Metadata| ours.contains(&metadata.uid()) || ours[0] == 0;
        // The owner of a link may lead it to another ring.
        let linked = std::fs::symlink_metadata(path).map_err(read)?;
        if let Some(owner) = [&opened, &linked].into_iter().find(|metadata| !is_ours(metadata)) {
            return Err(KeyError::Foreign { path: path.to_owned(), uid: owner.uid() });
        }
        let mode = opened.permissions().mode() & 0o777;
        let is_mounted = mode == 0o440 && is_our_group(opened.gid());
        if !opened.is_file() || (mode & 0o077 != 0 && !is_mounted) {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::with_capacity(opened.len().try_into().unwrap_or(0)));
        file.read_to_string(&mut text).map_err(read)?;
        Self::parse(&text, &format!("key ring {}", path.display()))
    }

    /// Reads the key ring, or writes a new one (mode 0600) where there is none.
    /// The latter is the first start of the embedded mode.
    ///
    /// Processes that start at once agree on one ring: the file is linked into place and the later one loses.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let text = Self::generate()?;
        let nonce = getrandom::u64().map_err(KeyError::Random)?;
        create(path, nonce, text.as_bytes())
            .map_err(|source| KeyError::Create { path: path.to_owned(), source })?;
        Self::load(path)
    }

    /// Draws the text of a ring: one data key with a random id, and the lookup key.
    pub fn generate() -> Result<Zeroizing<String>, KeyError> {
        let mut random = Zeroizing::new([0_u8; 4 + 32 + 32]);
        getrandom::fill(random.as_mut()).map_err(KeyError::Random)?;
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# hosho key ring: the first line seals, every line opens. Without this file no stored key can be read again.\nk-");
        encode(&random[..4], &mut text);
        text.push(' ');
        encode(&random[4..36], &mut text);
        text.push_str("\nlookup ");
        encode(&random[36..], &mut text);
        text.push('\n');
        Ok(text)
    }

    /// Seals a key for one guarantee under the active data key.
    pub fn seal(&self, key: &AuthenticationKey, guarantee: &str) -> Result<Sealed, KeyError> {
        let mut nonce = [0_u8; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
        let aad = associated(guarantee, &self.active.id);
        let payload = Payload { msg: key.expose().as_bytes(), aad: &aad };
        let ciphertext =
            self.active.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Seal)?;
        Ok(Sealed { data_key_id: self.active.id.clone(), bytes: [nonce.as_slice(), &ciphertext].concat() })
    }

    pub fn open(
        &self,
        data_key_id: &str,
        bytes: &[u8],
        guarantee: &str,
    ) -> Result<AuthenticationKey, KeyError> {
        let data_key = self.data_key(data_key_id)?;
        let refused = || KeyError::Open { data_key_id: data_key_id.to_owned() };
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LENGTH>().ok_or_else(refused)?;
        let aad = associated(guarantee, data_key_id);
        let opened = data_key.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad });
        let opened = Zeroizing::new(opened.map_err(|_| refused())?);
        AuthenticationKey::parse(std::str::from_utf8(&opened).map_err(|_| refused())?)
    }

    /// Seals a document that holds an authentication key.
    /// The sealing key is derived from the active data key.
    pub fn seal_document(
        &self,
        bytes: &[u8],
        guarantee: &str,
        revision: i64,
        kind: &str,
    ) -> Result<Sealed, KeyError> {
        let mut nonce = [0_u8; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(KeyError::Random)?;
        let aad = associated_document(guarantee, revision, kind, &self.active.id);
        let padded_length = (bytes.len() + 1).next_multiple_of(PADDED_TO);
        let mut padded = Zeroizing::new(Vec::with_capacity(padded_length));
        padded.extend_from_slice(bytes);
        padded.push(END_OF_DOCUMENT);
        padded.resize(padded_length, 0);
        let payload = Payload { msg: &padded, aad: &aad };
        let cipher = self.active.document_cipher();
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Seal)?;
        Ok(Sealed { data_key_id: self.active.id.clone(), bytes: [nonce.as_slice(), &ciphertext].concat() })
    }

    pub fn open_document(
        &self,
        data_key_id: &str,
        bytes: &[u8],
        guarantee: &str,
        revision: i64,
        kind: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let cipher = self.data_key(data_key_id)?.document_cipher();
        let refused = || KeyError::OpenDocument { data_key_id: data_key_id.to_owned() };
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LENGTH>().ok_or_else(refused)?;
        let aad = associated_document(guarantee, revision, kind, data_key_id);
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad });
        let mut opened = Zeroizing::new(opened.map_err(|_| refused())?);
        let end = opened.iter().rposition(|byte| *byte != 0).ok_or_else(refused)?;
        if opened[end] != END_OF_DOCUMENT {
            return Err(refused());
        }
        opened.truncate(end);
        Ok(opened)
    }

    /// The keyed hash of a document that holds a key, from the SHA-256 of its bytes.
    /// No guarantee number is `document`, so that it is never the hash of a key.
    pub fn document_hash(&self, sha256: &str) -> String {
        self.keyed_hash(&["document", sha256])
    }

    /// HMAC-SHA256 over `number ‖ 0 ‖ key`, 64 lower-case hexadecimal digits.
    pub fn lookup_hash(&self, number: &str, key: &AuthenticationKey) -> String {
        self.keyed_hash(&[number, key.expose()])
    }

    /// Seals the end of a guarantee's chain of revisions.
    /// HMAC-SHA256 over `chain ‖ 0 ‖ guarantee ‖ 0 ‖ revisions ‖ 0 ‖ head`. No guarantee number is `chain`,
    /// so that a seal is never the hash of a key.
    pub fn chain_head(&self, guarantee: &str, revisions: i64, head_sha256: &str) -> ChainHead {
        let seal = self.keyed_hash(&["chain", guarantee, &revisions.to_string(), head_sha256]);
        ChainHead { guarantee_id: guarantee.to_owned(), revisions, head_sha256: head_sha256.to_owned(), seal }
    }

    /// HMAC-SHA256 over texts with a zero between them, as 64 lower-case hex digits.
    fn keyed_hash(&self, parts: &[&str]) -> String {
        let mut mac = keyed(&self.lookup);
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                mac.update(&[0]);
            }
            mac.update(part.as_bytes());
        }
        let mut hash = String::with_capacity(64);
        encode(&mac.finalize().into_bytes(), &mut hash);
        hash
    }

    fn data_key(&self, id: &str) -> Result<&DataKey, KeyError> {
        std::iter::once(&self.active)
            .chain(&self.older)
            .find(|key| key.id == id)
            .ok_or_else(|| KeyError::UnknownDataKey { data_key_id: id.to_owned() })
    }

    pub fn active_id(&self) -> &str {
        &self.active.id
    }

    /// Whether the ring has this data key, so that what it sealed can be opened.
    pub fn holds(&self, id: &str) -> bool {
        self.active.id == id || self.older.iter().any(|key| key.id == id)
    }
}

impl DataKey {
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.secret))
    }

    /// Under a key for documents: HMAC-SHA256 of the purpose under the data key.
    /// The data key itself seals authentication keys only.
    fn document_cipher(&self) -> XChaCha20Poly1305 {
        let mut mac = keyed(&self.secret);
        mac.update(b"hosho document v1");
        let mut derived = mac.finalize().into_bytes();
        let cipher = XChaCha20Poly1305::new(&Key::from(<[u8; 32]>::from(derived)));
        derived.as_mut_slice().zeroize();
        cipher
    }
}

/// HMAC-SHA256 under a secret.
/// HMAC fills a key that is shorter than its block with zeros.
fn keyed(secret: &Secret) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    block[..32].copy_from_slice(secret.as_ref());
    Hmac::new(&(*block).into())
}

fn associated_document(guarantee: &str, revision: i64, kind: &str, data_key_id: &str) -> Vec<u8> {
    let revision = revision.to_string();
    let parts = ["hosho document v1", guarantee, revision.as_str(), kind, data_key_id].map(str::as_bytes);
    parts.join(&0)
}

/// What a sealed key is bound to.
/// Ids hold no zero byte, so no two pairs give the same bytes.
fn associated(guarantee: &str, data_key_id: &str) -> Vec<u8> {
    [b"hosho authentication key v1", guarantee.as_bytes(), data_key_id.as_bytes()].join(&0)
}

fn decode(hex: &str) -> Option<Secret> {
    let mut secret = Zeroizing::new([0_u8; 32]);
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(secret)
}

fn encode(bytes: &[u8], hex: &mut String) {
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
    }
}

fn is_our_group(gid: u32) -> bool {
    let others = rustix::process::getgroups().unwrap_or_default();
    others.into_iter().chain([rustix::process::getegid()]).any(|group| group.as_raw() == gid)
}

/// Writes a file whole or not at all; a file that appeared meanwhile is kept.
fn create(path: &Path, nonce: u64, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".key-ring-{nonce:016x}.tmp"));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| {
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => std::fs::File::open(folder)?.sync_all(),
        }
    });
    std::fs::remove_file(&draft)?;
    written
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sha2::Digest as _;

    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const B: &str = "f00102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f";

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse(text, "test ring").unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(text: &str) -> String {
        KeyRing::parse(text, "test ring").err().unwrap().to_string()
    }

    #[test]
    fn keys_use_every_allowed_symbol_evenly() {
        assert!(f64::from(u32::try_from(KEY_LENGTH).unwrap()) * 33_f64.log2() >= 60.0);
        assert_eq!(ALPHABET.iter().collect::<BTreeSet<_>>().len(), 33);
        assert!(!ALPHABET.iter().any(|symbol| b"0Oo1lIi2Zz5S8B4AUV".contains(symbol)));
        let mut counts = [0_usize; 256];
        let mut seen = BTreeSet::new();
        for _ in 0..5_000 {
            let key = AuthenticationKey::mint().unwrap();
            assert_eq!(key.expose().len(), KEY_LENGTH);
            key.expose().bytes().for_each(|symbol| counts[usize::from(symbol)] += 1);
            assert!(seen.insert(key.expose().to_owned()));
        }
        // 60,000 draws, 1,818 a symbol expected, deviation 42: a bias by one missing rejection (13 %) is far
        // outside.
        assert!(
            ALPHABET.iter().all(|symbol| (1_600..2_040).contains(&counts[usize::from(*symbol)])),
            "{counts:?}"
        );
        assert_eq!(counts.iter().sum::<usize>(), 60_000);
    }

    #[test]
    fn sealed_key_opens_for_its_guarantee_only() {
        let ring = ring(&format!("k1 {A}\nlookup {B}"));
        let key = AuthenticationKey::mint().unwrap();
        let sealed = ring.seal(&key, "guarantee-1").unwrap();
        assert_eq!((sealed.data_key_id.as_str(), sealed.bytes.len()), ("k1", 24 + 12 + 16));
        assert_eq!(ring.open("k1", &sealed.bytes, "guarantee-1").ok().unwrap().expose(), key.expose());
        assert_ne!(ring.seal(&key, "guarantee-1").unwrap().bytes, sealed.bytes);
        let refused = |id, bytes: &[u8], guarantee| ring.open(id, bytes, guarantee).err().unwrap();
        assert!(matches!(refused("k1", &sealed.bytes, "guarantee-2"), KeyError::Open { .. }));
        assert!(matches!(refused("k2", &sealed.bytes, "guarantee-1"), KeyError::UnknownDataKey { .. }));
        assert!(matches!(refused("k1", &sealed.bytes[..20], "guarantee-1"), KeyError::Open { .. }));
        for index in 0..sealed.bytes.len() {
            let mut changed = sealed.bytes.clone();
            changed[index] ^= 1;
            assert!(matches!(refused("k1", &changed, "guarantee-1"), KeyError::Open { .. }));
        }
    }

    #[test]
    fn sealed_document_opens_for_its_revision_only() {
        let before = ring(&format!("k1 {A}\nlookup {B}"));
        let pdf = b"%PDF-1.7 with a key";
        let Sealed { data_key_id, bytes } = before.seal_document(pdf, "g", 1, "notice").unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"%PDF"));
        assert_ne!(before.seal_document(pdf, "g", 1, "notice").unwrap().bytes, bytes);
        let rotated = ring(&format!("k2 {B}\nk1 {A}\nlookup {B}"));
        for ring in [&before, &rotated] {
            assert_eq!(**ring.open_document(&data_key_id, &bytes, "g", 1, "notice").unwrap(), *pdf);
        }
        let refused = |ring: &KeyRing, id, bytes: &[u8], guarantee, revision, kind| {
            ring.open_document(id, bytes, guarantee, revision, kind).err().unwrap()
        };
        for (guarantee, revision, kind) in [("h", 1, "notice"), ("g", 2, "notice"), ("g", 1, "certificate")] {
            let error = refused(&before, "k1", &bytes, guarantee, revision, kind);
            assert!(matches!(error, KeyError::OpenDocument { .. }), "{error}");
        }
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let error = refused(&before, "k1", &changed, "g", 1, "notice");
            assert!(matches!(error, KeyError::OpenDocument { .. }), "{index}");
        }
        let unknown = refused(&ring(&format!("k2 {A}\nlookup {B}")), "k1", &bytes, "g", 1, "notice");
        assert!(matches!(unknown, KeyError::UnknownDataKey { .. }));
        // The same bytes under the id of another key: the id is bound too.
        let renamed = ring(&format!("k3 {A}\nlookup {B}"));
        assert!(renamed.open_document("k3", &bytes, "g", 1, "notice").is_err());
        // Nor does the key of documents open keys.
        assert!(before.open("k1", &bytes, "g").is_err());
    }

    #[test]
    fn sealed_length_hides_that_of_the_document() {
        let ring = ring(&format!("k1 {A}\nlookup {B}"));
        let sealed = |bytes: &[u8]| ring.seal_document(bytes, "g", 1, "notice").unwrap();
        let lengths: BTreeSet<usize> =
            (0..4096).map(|length| sealed(&vec![b'a'; length]).bytes.len()).collect();
        assert_eq!(lengths.len(), 1, "{lengths:?}");
        for bytes in [&b""[..], b"\x80", b"%PDF\0\0", &[0; 4095], &[0x80; 4096], &[b'a'; 9000]] {
            let Sealed { data_key_id, bytes: body } = sealed(bytes);
            assert_eq!(**ring.open_document(&data_key_id, &body, "g", 1, "notice").unwrap(), *bytes);
        }
    }

    #[test]
    fn hash_of_a_document_needs_the_ring() {
        let sha256 = hex::encode(Sha256::digest(b"%PDF-1.7 with a key"));
        let (one, other) = (ring(&format!("k1 {A}\nlookup {B}")), ring(&format!("k1 {A}\nlookup {A}")));
        assert_ne!(one.document_hash(&sha256), sha256);
        assert_ne!(one.document_hash(&sha256), other.document_hash(&sha256));
        assert_eq!(one.document_hash(&sha256), ring(&format!("k2 {A}\nlookup {B}")).document_hash(&sha256));
    }

    #[test]
    fn new_first_line_rotates_the_ring() {
        let key = AuthenticationKey::mint().unwrap();
        let sealed = ring(&format!("old {A};lookup {B}")).seal(&key, "g").unwrap();
        let rotated = ring(&format!("# rotated; see above\nnew {B}\nold {A}\nlookup {B}\n"));
        assert_eq!(
            rotated.open(&sealed.data_key_id, &sealed.bytes, "g").ok().unwrap().expose(),
            key.expose()
        );
        assert_eq!(rotated.seal(&key, "g").unwrap().data_key_id, "new");
        // The same bytes under the id of another key: the id is bound too.
        let renamed = ring(&format!("other {A}\nlookup {B}"));
        assert!(renamed.open("other", &sealed.bytes, "g").is_err());
    }

    #[test]
    fn lookup_hash_is_hmac_of_number_and_key() {
        let ring = ring(&format!("k1 {B}\nlookup {A}"));
        let key = AuthenticationKey::parse("37CDEFGHJKLM").ok().unwrap();
        // Computed with Python: hmac.new(bytes(range(32)), b"31074-00001M\0" b"37CDEFGHJKLM",
        // "sha256").hexdigest()
        assert_eq!(
            ring.lookup_hash("31074-00001M", &key),
            "2482c663a268b5469fac7296248fc2068ef04516c2bac119a0be3dbf2c7fe8c3"
        );
        assert_ne!(ring.lookup_hash("31074-00002M", &key), ring.lookup_hash("31074-00001M", &key));
    }

    #[test]
    fn reports_faults_of_a_ring_without_values() {
        let short = &A[1..];
        for (text, says) in [
            (format!("k1 {A}"), "test ring has no lookup key"),
            (format!("\nlookup {A}"), "test ring has no data key"),
            (format!("k1 {short}\nlookup {A}"), "test ring, line 1: the key is not 64 hexadecimal digits"),
            (format!("k1 {A}\nk1 {B}"), "test ring, line 2: an id occurs twice"),
            (format!("k1 {A}\nlookup {A}\nlookup {A}"), "test ring, line 3: a second lookup key"),
            (format!("k/1 {A}"), "test ring, line 1: an id has up to 32 characters A-Z, a-z, 0-9, - and _"),
            (A.to_owned(), "test ring, line 1: expected an id, a space and 64 hexadecimal digits"),
        ] {
            assert_eq!(refusal(&text), says);
        }
    }

    #[test]
    fn first_start_creates_a_permanent_ring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/key-ring");
        let rings: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).map_err(|error| error.to_string())))
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let first = KeyRing::load(&path).ok().unwrap();
        for ring in rings {
            assert_eq!(ring.map(|ring| ring.active_id().to_owned()).as_deref(), Ok(first.active_id()));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = AuthenticationKey::mint().unwrap();
        let sealed = first.seal(&key, "g").unwrap();
        let again = KeyRing::load_or_create(&path).ok().unwrap();
        assert_eq!(again.open(&sealed.data_key_id, &sealed.bytes, "g").ok().unwrap().expose(), key.expose());
    }

    #[test]
    fn rejects_a_ring_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key-ring");
        KeyRing::load_or_create(&path).ok().unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = KeyRing::load_or_create(&path).err().unwrap().to_string();
            assert!(
                refused.contains(&format!("mode {mode:o}")) && refused.contains("chmod 600"),
                "{refused}"
            );
        }
        // As Kubernetes mounts a secret: a link, and a file that our group can read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        KeyRing::load(&link).ok().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, None, Some(54_321)).unwrap();
            assert!(matches!(KeyRing::load(&link), Err(KeyError::Exposed { .. })));
        }
    }

    #[test]
    fn rejects_a_key_that_is_not_random() {
        for byte in ["00", "ff", "5a"] {
            let refused =
                KeyRing::parse(&format!("k1 {}\nlookup {B}", byte.repeat(32)), "ring").err().unwrap();
            assert!(refused.to_string().contains("draw it at random"), "{refused}");
        }
    }
}
