//! Opens everything the program needs from its configuration.
//! Chooses the broker; `hosho_schema::db` and the document store choose the database and the storage from
//! their URLs.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hosho_schema::{
    db::{self, DbError, Pool},
    models::document_store,
};

use tokio_util::sync::CancellationToken;

use crate::{
    broker::{
        Broker, BrokerError,
        memory::Memory,
        rabbit::{Rabbit, RabbitOptions, topology},
    },
    clock::{Clock, seconds},
    config::{self, Config, MailTransport},
    db::Db,
    documents::{
        check,
        renderer::DocumentRenderer,
        revision::RevisionRenderer,
        store::{self, BucketCredentials, DocumentStore, StoreSettings},
        templates::Templates,
    },
    fault::{Fault, Reason},
    keys::{KeyError, KeyRing},
    mail::{Credentials, Mailer, Sender, SmtpSettings, delivery::MailDelivery},
    pdf::{FontError, FontPaths, Fonts},
    pipeline::runner::Probe,
    reference::{
        ReferenceData,
        obligees::{self, Registry},
        surety::{self, Surety},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration, or a file it names, must be edited.
    #[error("{what}")]
    Configuration { what: &'static str, source: Box<dyn Error + Send + Sync> },
    /// A dependency cannot be opened; it may be available later.
    #[error("{what}")]
    Unavailable { what: &'static str, source: Box<dyn Error + Send + Sync> },
    /// A missing package or disk; it may appear later.
    #[error("cannot load the fonts")]
    Fonts(#[source] FontError),
    /// A new installation, or a lost file.
    #[error("keys.file {} does not exist", .0.display())]
    KeysMissing(PathBuf),
    #[error("the database lacks migrations: {count}, from {first} on")]
    Unmigrated { count: usize, first: String },
}

fn configuration<E: Into<Box<dyn Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> AppError {
    move |source| AppError::Configuration { what, source: source.into() }
}

fn unavailable<E: Into<Box<dyn Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> AppError {
    move |source| AppError::Unavailable { what, source: source.into() }
}

pub fn data(config: &Config) -> Result<ReferenceData, AppError> {
    let folder = config.data.folder.as_deref();
    Ok(ReferenceData {
        folder: folder.map(Path::to_owned),
        obligees: obligees(config)?,
        branches: surety::load_branches(folder.map(|folder| folder.join("branches")).as_deref())
            .map_err(configuration("the branches are not valid"))?,
        sureties: surety(config)?.entries,
    })
}

fn surety(config: &Config) -> Result<Surety, AppError> {
    let file = config.data.folder.as_deref().map(|folder| folder.join("surety.toml"));
    Surety::load(file.as_deref()).map_err(configuration("the surety is not valid"))
}

/// Reads the obligees alone, with the national limits.
pub fn obligees(config: &Config) -> Result<Registry, AppError> {
    obligees::load(config.data.folder.as_deref()).map_err(configuration("the obligees are not valid"))
}

/// Everything that stages, jobs and operations share, opened and checked.
pub struct App {
    pub clock: Clock,
    pub db: Db,
    pub data: Arc<ReferenceData>,
    pub keys: Arc<KeyRing>,
    pub renderer: Arc<DocumentRenderer>,
    pub templates: Arc<Templates>,
    pub documents: DocumentStore,
    pub mail_delivery: MailDelivery,
    /// The page where an obligee enters number and key.
    pub registry_url: String,
}

impl App {
    /// Checks everything that can be checked first, then opens.
    /// `stop` ends the delivery of mails.
    pub fn open(config: &Config, stop: CancellationToken) -> Result<Self, AppError> {
        let data = Arc::new(data(config)?);
        let renderer = Arc::new(checked_renderer(config)?);
        let keys = Arc::new(keys(&config.keys)?);
        let mailer = mailer(&config.mail)?;
        let clock = Clock::system();
        let documents = documents(config, &keys, &clock)?;
        let db = Db::new(pool(config)?);
        for (name, file, sha256) in renderer.fonts().loaded() {
            tracing::info!(font.name = name, font.file = %file, font.sha256 = sha256, "Font loaded");
        }
        tracing::info!(
            fonts.sha256 = renderer.fonts().sha256(),
            keys.active = keys.active_id(),
            obligees = data.obligees.iter().count(),
            "Configuration loaded"
        );
        let mail_delivery = MailDelivery {
            mailer,
            from: Sender {
                name: Some(config.mail.from_name.clone()),
                address: config.mail.from_address.as_str().into(),
            },
            attach_notice: config.mail.attach_notice,
            orphan_after: seconds(config.work.mail_orphan_seconds),
            resend_after: seconds(config.work.mail_resend_seconds),
            connections: config.mail.connections,
            db: db.clone(),
            documents: documents.clone(),
            clock: clock.clone(),
            stop,
        };
        let templates = Arc::clone(renderer.templates());
        Ok(Self {
            clock,
            db,
            data,
            keys,
            renderer,
            templates,
            documents,
            mail_delivery,
            registry_url: config.registry.url.clone(),
        })
    }

    pub fn revision_renderer(&self) -> RevisionRenderer {
        RevisionRenderer::new(Arc::clone(&self.renderer), Arc::clone(&self.keys), self.registry_url.clone())
    }

    /// Probes the dependency that a runner found unavailable.
    pub fn probe(&self) -> Probe {
        let (db, documents, mailer) =
            (self.mail_delivery.db.clone(), self.documents.clone(), self.mail_delivery.mailer.clone());
        Arc::new(move |reason| {
            let (db, documents, mailer) = (db.clone(), documents.clone(), mailer.clone());
            let fault = move |error: &dyn Error| Fault::from_error(reason, error);
            Box::pin(async move {
                match reason {
                    Reason::DocumentsUnavailable => documents.probe().await.map_err(|error| fault(&error)),
                    Reason::MailUnavailable => mailer.probe().await.map_err(|error| fault(&error)),
                    _ => db.call(|_| Ok::<_, DbError>(())).await.map_err(|error| fault(&error)),
                }
            })
        })
    }

    pub async fn migrate(&self) -> Result<Vec<String>, AppError> {
        self.with_database("cannot migrate the database", db::migrate).await
    }

    /// Fails if the tables are older than the program.
    pub async fn require_migrated(&self) -> Result<(), AppError> {
        let pending = self.with_database("cannot read the state of the database", db::pending).await?;
        pending
            .first()
            .map_or(Ok(()), |first| Err(AppError::Unmigrated { count: pending.len(), first: first.clone() }))
    }

    /// Fails unless the document store is the one that the database names.
    pub async fn identify_store(&self) -> Result<(), AppError> {
        identify_store(&self.db, &self.documents).await
    }

    /// Runs database work on a blocking thread.
    pub async fn with_database<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut db::Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, AppError> {
        self.db.call(work).await.map_err(unavailable(what))
    }
}

/// Checks everything that can be checked without opening or creating anything.
pub fn check(config: &Config, stages: &[&'static str]) -> Result<ReferenceData, AppError> {
    let data = data(config)?;
    checked_renderer(config)?;
    if config.keys.ring.is_some() || !config.keys.create || config.keys.file.exists() {
        keys(&config.keys)?;
    }
    if config.mail.transport == MailTransport::Smtp {
        mailer(&config.mail)?;
    }
    broker_client(config, stages)?;
    store_settings(&config.documents)?;
    db::check_url(config.database.url.expose()).map_err(configuration("database.url is not valid"))?;
    Ok(data)
}

/// The client of the broker that `broker.url` names.
#[derive(Debug, Clone)]
pub enum BrokerClient {
    Rabbit(Rabbit),
    Memory(Memory),
}

impl BrokerClient {
    pub fn broker(&self) -> Arc<dyn Broker> {
        match self {
            Self::Rabbit(rabbit) => Arc::new(rabbit.clone()),
            Self::Memory(memory) => Arc::new(memory.clone()),
        }
    }

    pub fn in_process(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Declares exchanges and queues; none in memory.
    pub async fn apply_topology(&self) -> Result<topology::Report, BrokerError> {
        match self {
            Self::Rabbit(rabbit) => topology::apply(rabbit).await,
            Self::Memory(_) => Ok(topology::Report::default()),
        }
    }

    /// Compares exchanges and queues; changes nothing.
    pub async fn check_topology(&self) -> Result<topology::Report, BrokerError> {
        match self {
            Self::Rabbit(rabbit) => topology::check(rabbit).await,
            Self::Memory(_) => Ok(topology::Report::default()),
        }
    }
}

pub fn broker_client(config: &Config, stages: &[&'static str]) -> Result<BrokerClient, AppError> {
    let url = config.broker.url.expose();
    if url == "memory:" {
        return Ok(BrokerClient::Memory(Memory::new(stages)));
    }
    let options = RabbitOptions {
        ca_file: config.broker.ca_file.clone(),
        prefix: config.broker.prefix.clone(),
        confirm_timeout: Duration::from_secs(config.broker.confirm_timeout_seconds),
        ..RabbitOptions::new(url, stages.to_vec())
    };
    Rabbit::new(options).map(BrokerClient::Rabbit).map_err(configuration("broker.url is not valid"))
}

pub fn pool(config: &Config) -> Result<Pool, AppError> {
    db::check_url(config.database.url.expose()).map_err(configuration("database.url is not valid"))?;
    Pool::open(config.database.url.expose(), config.database.connections)
        .map_err(unavailable("cannot open the database"))
}

pub fn documents(config: &Config, keys: &Arc<KeyRing>, clock: &Clock) -> Result<DocumentStore, AppError> {
    DocumentStore::open(&store_settings(&config.documents)?, Arc::clone(keys), clock)
        .map_err(unavailable("cannot open the document store"))
}

/// Fails unless the document store is the one that the database names.
/// Records the first one.
pub async fn identify_store(db: &Db, documents: &DocumentStore) -> Result<(), AppError> {
    let known = known_stores(db).await?;
    let identity = documents.identify(&known).await;
    let identity = identity.map_err(unavailable("cannot use the document store"))?;
    let kind = documents.kind();
    if !known.contains_key(kind) {
        let inserted = db.call(move |db| document_store::insert_new(db, kind, &identity)).await;
        inserted.map_err(unavailable("cannot store the identity of the document store"))?;
    }
    Ok(())
}

/// As [`identify_store`], for what only reads: creates and records nothing.
pub async fn check_store(db: &Db, documents: &DocumentStore) -> Result<(), AppError> {
    let known = known_stores(db).await?;
    documents.check_identity(&known).await.map_err(unavailable("cannot use the document store"))
}

async fn known_stores(db: &Db) -> Result<BTreeMap<String, String>, AppError> {
    let known = db.call(document_store::identities).await;
    known.map_err(unavailable("cannot read the identity of the document store"))
}

pub fn store_settings(documents: &config::Documents) -> Result<StoreSettings, AppError> {
    store::check_urls(&documents.url, None).map_err(configuration("documents.url is not valid"))?;
    store::check_urls(&documents.url, documents.previous_url.as_deref())
        .map_err(configuration("documents.previous_url is not valid"))?;
    let credentials = match (&documents.access_key_id, &documents.secret_access_key) {
        (Some(id), Some(secret)) => {
            Some(BucketCredentials { access_key_id: id.clone(), secret_access_key: secret.clone() })
        }
        _ => None,
    };
    Ok(StoreSettings {
        url: documents.url.clone(),
        previous_url: documents.previous_url.clone(),
        credentials,
    })
}

fn templates(config: &Config) -> Result<Templates, AppError> {
    Templates::load(config.templates.folder.as_deref()).map_err(configuration("the templates are not valid"))
}

pub fn renderer(config: &Config) -> Result<DocumentRenderer, AppError> {
    let templates = templates(config)?;
    Ok(DocumentRenderer::new(Arc::new(templates), Arc::new(fonts(&config.fonts)?), surety(config)?.seals))
}

/// The same, after rendering every template with every sample.
pub fn checked_renderer(config: &Config) -> Result<DocumentRenderer, AppError> {
    let renderer = renderer(config)?;
    check::check(&renderer).map_err(configuration("a template fails with its samples"))?;
    Ok(renderer)
}

/// Loads the fonts: those configured, or the system's.
pub fn fonts(config: &config::Fonts) -> Result<Fonts, AppError> {
    let failed = |error: FontError| match error {
        FontError::NotInstalled { .. } | FontError::Read { .. } => AppError::Fonts(error),
        _ => configuration("the fonts are not usable")(error),
    };
    let paths = FontPaths::find(&config.mincho, &config.gothic).map_err(failed)?;
    Fonts::load(&paths).map_err(failed)
}

/// Loads the data keys, or creates them if the configuration permits it.
pub fn keys(config: &config::Keys) -> Result<KeyRing, AppError> {
    if let Some(ring) = &config.ring {
        return KeyRing::parse(ring.expose(), "keys.ring").map_err(configuration("keys.ring is not usable"));
    }
    let loaded =
        if config.create { KeyRing::load_or_create(&config.file) } else { KeyRing::load(&config.file) };
    loaded.map_err(|error| match error {
        KeyError::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            AppError::KeysMissing(path)
        }
        error => configuration("keys.file is not usable")(error),
    })
}

pub fn mailer(config: &config::Mail) -> Result<Mailer, AppError> {
    let mailer = match config.transport {
        MailTransport::Folder => Mailer::folder(Path::new(&config.folder)),
        MailTransport::Smtp => Mailer::smtp(SmtpSettings {
            host: config.host.clone(),
            port: config.port,
            security: config.security,
            ca_file: config.ca_file.clone(),
            credentials: config
                .user
                .clone()
                .zip(config.password.clone())
                .map(|(username, password)| Credentials { username, password }),
            hello_name: None,
            sender: Some(config.from_address.clone()),
            timeout: Duration::from_secs(config.timeout_seconds),
            reply_timeout: Duration::from_secs(config.reply_timeout_seconds),
            pool_size: config.connections,
        }),
    };
    mailer.map_err(configuration("mail cannot be set up"))
}
