//! From the data section of a config to the rows it asks for: which table or file is meant, and whether it may be
//! read. What becomes of a batch is told in `rows`; making a market of the rows is the engine's business.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate, Weekday};
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::csv;
use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};

use super::blob::Directory;
use super::delta::{self, Location, StorageOptions, Table, TableError};
use super::parquet::{self, ParquetFile, ReadError, Selection};
use super::pg::PgError;
use super::rows::{self, Context, Origin, PriceCollector, SignalCollector, Window};
use super::signals::postgres::{self, PostgresSignals, Served};
use crate::engine::config::{
    BacktestConfig, Fault, PriceColumns, PriceSource, SignalColumns, SignalSource, Symbols,
};
use crate::engine::market::{PriceRows, SignalRows};

/// Table of daily bars below the lake root, read when a config names no `data.price_path`.
pub const PRICE_TABLE: &str = "gold/prices_daily";

/// Table of composite signals below the lake root, read when a config names no `data.signal_path`.
pub const SIGNAL_TABLE: &str = "platinum/signals/daily";

/// Table of the same signals in Postgres.
const SERVED_TABLE: &str = "postgres ranking.composite_signal_daily";

/// What configs may read.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Whether local paths outside the lake may be read at all.
    pub local: bool,
    /// Below which folders; empty means anywhere.
    pub local_dirs: Vec<PathBuf>,
    /// Containers of the service's own account that may be read; `None` means any of any account.
    pub containers: Option<Vec<String>>,
}

impl Reach {
    /// Everything: for a person at their own machine.
    pub fn unlimited() -> Self {
        Self { local: true, ..Self::default() }
    }
}

/// Reads prices and signals.
#[derive(Debug, Clone)]
pub struct MarketData {
    /// Root of the lake; without one every config must name its paths.
    pub lake: Option<Location>,
    /// Keys for remote tables.
    pub options: StorageOptions,
    /// Storage account that `container/prefix` paths are in.
    pub account: Option<String>,
    /// What may be read.
    pub reach: Reach,
    /// Where `data.signal_source: postgres` reads.
    pub signals: Option<PostgresSignals>,
}

/// What a config asked for.
#[derive(Debug)]
pub struct Loaded {
    /// Bars of the universe and the benchmark from warm-up to end.
    pub prices: PriceRows,
    /// Signal rows, when there is a table of them.
    pub signals: Option<SignalRows>,
    /// What was read, at which version.
    pub data_versions: Value,
}

/// What a config would read now.
#[derive(Debug)]
pub struct Survey {
    /// As [`Loaded::data_versions`] would be.
    pub data_versions: Value,
    /// Weekdays from the first day that is read to the last.
    pub weekdays: usize,
    /// Files that may hold asked rows.
    pub files: usize,
    /// Bytes of these files.
    pub bytes: u64,
}

/// Data could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The config must not read this.
    #[error("{0}")]
    Refused(Fault),
    /// There is nothing at the place.
    #[error("{field}: there is no table or file at {place}")]
    Missing {
        /// Path of the config field.
        field: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// A column is missing.
    #[error("{place} has no column '{column}'; it has {found}")]
    NoColumn {
        /// Where it was looked for.
        place: String,
        /// The column.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// There is no signal to decide by.
    #[error(
        "{place} has no row of the universe between {first} and {last}; `backtests sync` brings it up to date"
    )]
    NoSignals {
        /// The table.
        place: &'static str,
        /// First day asked for.
        first: NaiveDate,
        /// Last day asked for.
        last: NaiveDate,
    },
    /// A file is not what it says.
    #[error("read {place}")]
    Unreadable {
        /// The file.
        place: String,
        /// Why.
        #[source]
        source: ArrowError,
    },
    /// The local file system did not answer.
    #[error("open {place}")]
    Open {
        /// The file.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The Delta log could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file could not be read.
    #[error(transparent)]
    File(#[from] ReadError),
    /// Postgres did not give its signals.
    #[error("read signals")]
    Served(#[from] PgError),
}

impl LoadError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Table(error) => error.is_retryable(),
            Self::File(error) => error.is_retryable(),
            Self::Open { source, .. } => !is_nothing(source),
            Self::Served(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl MarketData {
    /// Refuses a config that would read what it must not; touches no data.
    pub fn check(&self, config: &BacktestConfig) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let prices = self.price_place(config).err();
        let signals = self.signal_place(config).err();
        faults.extend(prices.into_iter().chain(signals));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Loads what `config` asks for, pinned to one version of each table.
    pub async fn load(&self, config: &BacktestConfig) -> Result<Loaded, LoadError> {
        let window = Arc::new(Window::of(config));
        let place = self.price_place(config).map_err(LoadError::Refused)?;
        let mut versions = serde_json::Map::new();

        let (prices, version) = self.load_prices(&place, &window, config.price_columns()).await?;
        versions.insert("prices".into(), version);

        let signals = match self.signal_place(config).map_err(LoadError::Refused)? {
            Some(wanted) => self.load_signals(config, &window, wanted, &mut versions).await?,
            None => None,
        };
        if signals.is_none() {
            versions.insert("signals".into(), json!({ "source": "computed from prices" }));
        }
        Ok(Loaded { prices, signals, data_versions: Value::Object(versions) })
    }

    /// Open and close of every symbol in the lake's own price table, from `first` on or from the beginning.
    pub async fn bars_since(&self, first: Option<NaiveDate>) -> Result<PriceRows, LoadError> {
        let place = self.lake_prices().map_err(LoadError::Refused)?;
        let window = Arc::new(Window::since(first));
        Ok(self.load_prices(&place, &window, PriceColumns::default()).await?.0)
    }

    /// The bars of a window, and what was read.
    async fn load_prices(
        &self,
        place: &Place,
        window: &Arc<Window>,
        wanted: PriceColumns,
    ) -> Result<(PriceRows, Value), LoadError> {
        let sources = self.open(place, "data.price_path", &window.symbols).await?;
        let context = Context::new(window);
        let mut bars = PriceCollector::default();
        for source in &sources {
            source.check_columns(&["date", "symbol", "open", "close"])?;
            let (context, origin) = (context.clone(), Arc::clone(&source.origin));
            let pieces = move || rows::price_pieces(context.clone(), Arc::clone(&origin), wanted);
            let columns = Some(rows::price_columns(wanted));
            source.read(columns, window, pieces, &mut |piece| bars.push(piece)).await?;
        }
        let version = describe(place, &sources, bars.adjusted);
        Ok((bars.finish(context), version))
    }

    async fn load_signals(
        &self,
        config: &BacktestConfig,
        window: &Arc<Window>,
        wanted: SignalPlace<'_>,
        versions: &mut serde_json::Map<String, Value>,
    ) -> Result<Option<SignalRows>, LoadError> {
        let Some(columns) = signal_columns(config) else { return Ok(None) };
        let (place, optional) = match wanted {
            SignalPlace::Files { place, optional } => (place, optional),
            SignalPlace::Served(signals) => {
                let (rows, version) = served(signals, window, config.start_date, columns.as_deref()).await?;
                versions.insert("signals".into(), version);
                return Ok(Some(rows));
            }
        };
        let sources = match self.open(&place, "data.signal_path", &window.symbols).await {
            Ok(sources) => sources,
            Err(LoadError::Missing { .. }) if optional => return Ok(None),
            Err(error) => return Err(error),
        };
        let context = Context::new(window);
        let mut rows = SignalCollector::default();
        for source in &sources {
            source.check_columns(&["date", "symbol"])?;
            let (context, origin, wanted) = (context.clone(), Arc::clone(&source.origin), columns.clone());
            let pieces = move || rows::signal_pieces(context.clone(), Arc::clone(&origin), wanted.clone());
            let selected = columns.as_ref().map(|named: &Vec<String>| {
                ["date", "symbol"].into_iter().map(str::to_owned).chain(named.iter().cloned()).collect()
            });
            source.read(selected, window, pieces, &mut |piece| rows.push(piece)).await?;
        }
        versions.insert("signals".into(), describe(&place, &sources, false));
        Ok(Some(rows.finish(context)))
    }

    /// Looks at what [`Self::load`] would read, of files no more than their columns.
    pub async fn survey(&self, config: &BacktestConfig) -> Result<Survey, LoadError> {
        let window = Arc::new(Window::of(config));
        let mut versions = serde_json::Map::new();
        let place = self.price_place(config).map_err(LoadError::Refused)?;
        let prices = self.open(&place, "data.price_path", &window.symbols).await?;
        let mut adjusted = false;
        for source in &prices {
            source.check_columns(&["date", "symbol", "open", "close"])?;
            adjusted |= source.has_column(&rows::ADJUSTED_CLOSE).await?;
        }
        versions.insert("prices".into(), describe(&place, &prices, adjusted));

        let mut signals = Vec::new();
        let columns = signal_columns(config);
        match self.signal_place(config).map_err(LoadError::Refused)?.filter(|_| columns.is_some()) {
            Some(SignalPlace::Files { place, optional }) => {
                match self.open(&place, "data.signal_path", &window.symbols).await {
                    Ok(sources) => {
                        versions.insert("signals".into(), describe(&place, &sources, false));
                        signals = sources;
                    }
                    Err(LoadError::Missing { .. }) if optional => {}
                    Err(error) => return Err(error),
                }
            }
            Some(SignalPlace::Served(served)) => {
                let columns = columns.flatten();
                let (_, version) =
                    self::served(served, &window, config.start_date, columns.as_deref()).await?;
                versions.insert("signals".into(), version);
            }
            None => {}
        }
        if !versions.contains_key("signals") {
            versions.insert("signals".into(), json!({ "source": "computed from prices" }));
        }
        let (mut files, mut bytes) = (0, 0);
        for source in prices.iter().chain(&signals) {
            for size in source.sizes(&window).await? {
                files += 1;
                bytes += size;
            }
        }
        let weekdays = weekdays(window.first, window.last);
        Ok(Survey { data_versions: Value::Object(versions), weekdays, files, bytes })
    }

    fn price_place(&self, config: &BacktestConfig) -> Result<Place, Fault> {
        let adls = config.data.price_source == PriceSource::Adls;
        match (&config.data.price_path, &self.lake) {
            (Some(path), _) => {
                self.place(path, adls, "data.price_path").and_then(|place| listed(place, config))
            }
            (None, Some(lake)) => {
                if adls {
                    must_be_remote(lake, "data.price_source")?;
                }
                self.lake_prices()
            }
            (None, None) => self.lake_prices(),
        }
    }

    /// The price table of the lake.
    fn lake_prices(&self) -> Result<Place, Fault> {
        let place = self.lake.as_ref().map(|lake| Place::At(lake.join(PRICE_TABLE)));
        // A service reads settings alone, a person's commands have an option too.
        let by = if self.reach.containers.is_some() { "BACKTEST_LAKE" } else { "--lake or BACKTEST_LAKE" };
        place.ok_or_else(|| Fault {
            path: "data.price_path".into(),
            message: format!("is required because no lake is configured ({by})"),
        })
    }

    fn signal_place(&self, config: &BacktestConfig) -> Result<Option<SignalPlace<'_>>, Fault> {
        if let (SignalSource::Adls, None, Some(lake)) =
            (config.data.signal_source, &config.data.signal_path, &self.lake)
        {
            must_be_remote(lake, "data.signal_source")?;
        }
        let adls = match config.data.signal_source {
            SignalSource::Auto => config.data.price_source == PriceSource::Adls,
            SignalSource::Local => false,
            SignalSource::Adls => true,
            SignalSource::Postgres => return self.served_place(config).map(Some),
        };
        match (&config.data.signal_path, &self.lake) {
            (Some(path), _) => {
                let place = listed(self.place(path, adls, "data.signal_path")?, config)?;
                Ok(Some(SignalPlace::Files { place, optional: false }))
            }
            // The lake's signals belong to the lake's prices; a config that brings its own prices does not get them.
            (None, Some(lake)) if config.data.price_path.is_none() => {
                let place = Place::At(lake.join(SIGNAL_TABLE));
                Ok(Some(SignalPlace::Files { place, optional: true }))
            }
            (None, _) => Ok(None),
        }
    }

    fn served_place(&self, config: &BacktestConfig) -> Result<SignalPlace<'_>, Fault> {
        let fault = |key: &str, message: &str| Fault { path: format!("data.{key}"), message: message.into() };
        if config.data.signal_path.is_some() {
            return Err(fault("signal_path", "has no effect when data.signal_source is postgres"));
        }
        let missing = || fault("signal_source", "'postgres' needs a service with POSTGRES_DSN");
        self.signals.as_ref().map(SignalPlace::Served).ok_or_else(missing)
    }

    /// What a path of a config means: an address, a table below the lake, or a path of this machine.
    fn place(&self, path: &str, adls: bool, field: &'static str) -> Result<Place, Fault> {
        let fault = |message: String| Fault { path: field.into(), message };
        if path.contains("://") || adls {
            let url = self.address(path).map_err(fault)?;
            self.allows(&url).map_err(fault)?;
            return Ok(Place::At(Location::Remote(url)));
        }
        let relative = Path::new(path);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if let (true, Some(Location::Local(root))) = (plain, &self.lake) {
            let table = root.join(relative);
            if delta::is_table(&table) {
                return Ok(Place::At(Location::Local(table)));
            }
        }
        if let (true, Some(lake @ Location::Remote(_)), false) = (plain, &self.lake, self.reach.local) {
            return Ok(Place::At(lake.join(path)));
        }
        // The part before a `{symbol}` must be there; what a symbol makes of the rest is looked at file by file.
        let fixed: PathBuf =
            relative.iter().take_while(|part| !part.to_string_lossy().contains("{symbol}")).collect();
        self.reach.allows(&fixed).map_err(fault)?;
        if path.contains("{symbol}") {
            return Ok(Place::PerSymbol(path.to_owned()));
        }
        Ok(Place::At(Location::Local(relative.to_owned())))
    }

    /// `container/prefix` or a whole address.
    fn address(&self, path: &str) -> Result<url::Url, String> {
        if path.contains("://") {
            return match Location::parse(path)? {
                Location::Remote(url) => Ok(url),
                Location::Local(_) => Err("is no address".to_owned()),
            };
        }
        let account = self.account.as_deref().ok_or(
            "needs a storage account (AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING)",
        )?;
        let (container, prefix) = path.trim_matches('/').split_once('/').unwrap_or((path, ""));
        url::Url::parse(&format!("abfss://{container}@{account}.dfs.core.windows.net/{prefix}"))
            .map_err(|error| format!("is no container and prefix: {error}"))
    }

    /// Refuses containers that are not to be read, and accounts that are not the service's: its credentials would go
    /// there.
    fn allows(&self, url: &url::Url) -> Result<(), String> {
        let Some(containers) = &self.reach.containers else { return Ok(()) };
        let asked = Directory::parse(url.as_str())?;
        if !containers.contains(&asked.container) {
            return Err(format!(
                "container '{}' is not in BACKTEST_ADLS_CONTAINER_ALLOWLIST",
                asked.container
            ));
        }
        let lake = self.lake.as_ref().and_then(|lake| Directory::parse(&lake.to_string()).ok()?.account);
        match asked.account {
            Some(account) if self.account.as_ref() != Some(&account) && lake.as_ref() != Some(&account) => {
                Err(format!("'{account}' is not the storage account of this service"))
            }
            _ => Ok(()),
        }
    }

    async fn open(
        &self,
        place: &Place,
        field: &'static str,
        symbols: &[String],
    ) -> Result<Vec<Source>, LoadError> {
        let location = match place {
            Place::PerSymbol(pattern) => return self.per_symbol(pattern, symbols, field),
            Place::At(location) => location,
        };
        let missing = || LoadError::Missing { field, place: location.to_string() };
        match location {
            Location::Local(path) if !delta::is_table(path) => {
                let files = self.local_files(path, None, field)?;
                if files.is_empty() { Err(missing()) } else { Ok(files) }
            }
            _ => {
                let table = Table::open(location, &self.options).await?.ok_or_else(missing)?;
                let place = location.to_string();
                let origin = Arc::new(Origin { place, symbol: None, text: false });
                Ok(vec![Source { origin, kind: SourceKind::Table(Box::new(table)) }])
            }
        }
    }

    fn per_symbol(
        &self,
        pattern: &str,
        symbols: &[String],
        field: &'static str,
    ) -> Result<Vec<Source>, LoadError> {
        let mut sources = Vec::new();
        for symbol in symbols {
            let safe = !symbol.contains(['/', '\\']) && symbol != "." && symbol != "..";
            let path = PathBuf::from(pattern.replace("{symbol}", symbol));
            if safe {
                sources.extend(self.local_files(&path, Some(symbol), field)?);
            }
        }
        if sources.is_empty() {
            return Err(LoadError::Missing { field, place: pattern.to_owned() });
        }
        Ok(sources)
    }

    /// A file, or the Parquet and CSV files of a folder by name; nothing when there is none. `symbol` is that of all
    /// rows.
    fn local_files(
        &self,
        path: &Path,
        symbol: Option<&str>,
        field: &'static str,
    ) -> Result<Vec<Source>, LoadError> {
        let open = |source| LoadError::Open { place: path.display().to_string(), source };
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_nothing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(open(error)),
        };
        let mut paths = Vec::new();
        if metadata.is_dir() {
            for entry in path.read_dir().map_err(open)? {
                paths.push(entry.map_err(open)?.path());
            }
            paths.retain(|path| has_extension(path, "parquet") || has_extension(path, "csv"));
            paths.sort();
        } else {
            paths.push(path.to_owned());
        }
        let source = |path: PathBuf| {
            let refused = |message| LoadError::Refused(Fault { path: field.into(), message });
            self.reach.allows(&path).map_err(refused)?;
            local_file(&path, symbol)
        };
        paths.into_iter().map(source).collect()
    }
}

impl Reach {
    /// Refuses a path of this machine that is not to be read. Links are followed first, so that none leads outside.
    fn allows(&self, path: &Path) -> Result<(), String> {
        if !self.local {
            return Err("local paths are not allowed here (BACKTEST_ALLOW_LOCAL_DATA)".into());
        }
        if self.local_dirs.is_empty() {
            return Ok(());
        }
        let real = path.canonicalize().map_err(|_| "does not exist".to_owned())?;
        let inside =
            self.local_dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| real.starts_with(dir));
        if inside { Ok(()) } else { Err("lies outside BACKTEST_ALLOWED_DATA_DIRS".into()) }
    }
}

#[derive(Debug)]
enum Place {
    At(Location),
    PerSymbol(String),
}

#[derive(Debug)]
enum SignalPlace<'a> {
    /// A table or files; computed from prices where there are none and none need to be.
    Files { place: Place, optional: bool },
    /// What Postgres serves.
    Served(&'a PostgresSignals),
}

impl Window {
    fn of(config: &BacktestConfig) -> Self {
        // A bar is a trading day: 252 of them take 365 calendar days, and holidays cluster.
        let warmup = u64::try_from(config.warmup_bars()).unwrap_or(u64::MAX);
        let days = if warmup == 0 { 0 } else { warmup.saturating_mul(365).div_ceil(250).saturating_add(10) };
        let first = config.start_date.checked_sub_days(chrono::Days::new(days)).unwrap_or(NaiveDate::MIN);
        let symbols = config.price_symbols().unwrap_or_default();
        Self { first, last: config.end_date, symbols }
    }

    /// Every symbol from a day on, or from the first to the last day that a text of a date can name.
    fn since(first: Option<NaiveDate>) -> Self {
        let [beginning, end] = [(1, 1, 1), (9999, 12, 31)].map(|(y, m, d)| NaiveDate::from_ymd_opt(y, m, d));
        Self {
            first: first.or(beginning).unwrap_or(NaiveDate::MIN),
            last: end.unwrap_or(NaiveDate::MAX),
            symbols: Vec::new(),
        }
    }
}

/// One thing to read.
struct Source {
    origin: Arc<Origin>,
    kind: SourceKind,
}

enum SourceKind {
    Table(Box<Table>),
    Parquet(ParquetFile),
    Csv(PathBuf),
}

impl Source {
    /// Makes pieces of the batches that may hold rows of the window, and hands them to `push` in the order of the
    /// rows. `columns` are in lower case; `None` takes all.
    async fn read<T, F>(
        &self,
        columns: Option<Vec<String>>,
        window: &Window,
        each_file: impl Fn() -> F + Send + 'static,
        push: &mut (dyn FnMut(T) + Send),
    ) -> Result<(), LoadError>
    where
        T: Send + 'static,
        F: FnMut(RecordBatch) -> Result<T, LoadError> + Send + 'static,
    {
        let files = match &self.kind {
            SourceKind::Csv(path) => {
                let mut make = each_file();
                return read_csv(path, &mut |batch| make(batch.clone()).map(&mut *push));
            }
            SourceKind::Parquet(file) => vec![file.clone()],
            SourceKind::Table(table) => table.files(Some(("date", window.first, window.last))).await?,
        };
        let dates = Some(("date".to_owned(), window.first, window.last));
        let mut pieces = parquet::scan_with(files, Selection { columns, dates }, each_file);
        while let Some(piece) = pieces.recv().await {
            push(piece?);
        }
        Ok(())
    }

    /// Whether there is a column of one of these names.
    async fn has_column(&self, names: &[&str]) -> Result<bool, LoadError> {
        let columns: Vec<String> = match &self.kind {
            SourceKind::Table(table) => {
                table.schema()?.fields().iter().map(|field| field.name().clone()).collect()
            }
            SourceKind::Parquet(file) => parquet::columns(file).await?,
            SourceKind::Csv(path) => {
                csv_schema(path)?.fields().iter().map(|field| field.name().clone()).collect()
            }
        };
        Ok(columns.iter().any(|column| names.iter().any(|name| column.eq_ignore_ascii_case(name))))
    }

    /// Sizes of the files that may hold rows of the window, in bytes.
    async fn sizes(&self, window: &Window) -> Result<Vec<u64>, LoadError> {
        Ok(match &self.kind {
            SourceKind::Table(table) => {
                let files = table.files(Some(("date", window.first, window.last))).await?;
                files.iter().map(|file| file.size).collect()
            }
            SourceKind::Parquet(file) => vec![file.size],
            SourceKind::Csv(path) => {
                let open = |source| LoadError::Open { place: path.display().to_string(), source };
                vec![path.metadata().map_err(open)?.len()]
            }
        })
    }

    /// Refuses a table without the columns that every row must have, before anything is read. Files tell when they
    /// are read.
    fn check_columns(&self, needed: &[&str]) -> Result<(), LoadError> {
        let SourceKind::Table(table) = &self.kind else { return Ok(()) };
        let schema = table.schema()?;
        for column in needed {
            if !schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(column)) {
                return Err(LoadError::NoColumn {
                    place: self.origin.place.clone(),
                    column: (*column).to_owned(),
                    found: rows::names_of(schema.fields().iter().map(|field| field.name().as_str())),
                });
            }
        }
        Ok(())
    }
}

/// Whether there is nothing at a path.
fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn local_file(path: &Path, symbol: Option<&str>) -> Result<Source, LoadError> {
    let place = path.display().to_string();
    let text = has_extension(path, "csv");
    let kind = if text {
        SourceKind::Csv(path.to_owned())
    } else {
        SourceKind::Parquet(
            local_parquet(path).map_err(|source| LoadError::Open { place: place.clone(), source })?,
        )
    };
    let origin = Arc::new(Origin { place, symbol: symbol.map(str::to_owned), text });
    Ok(Source { origin, kind })
}

/// A Parquet file of this machine.
pub fn local_parquet(path: &Path) -> std::io::Result<ParquetFile> {
    let path = path.canonicalize()?;
    let size = path.metadata()?.len();
    let path = object_store::path::Path::from_absolute_path(&path).map_err(std::io::Error::other)?;
    Ok(ParquetFile { store: Arc::new(LocalFileSystem::new()), path, size, constants: HashMap::new() })
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Reads a CSV file with a header; every column comes as text, so that what a text means is decided in one place.
pub fn read_csv(
    path: &Path,
    push: &mut dyn FnMut(&RecordBatch) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let place = path.display().to_string();
    let open = |source| LoadError::Open { place: place.clone(), source };
    let unreadable = |source| LoadError::Unreadable { place: place.clone(), source };
    let reader = csv::ReaderBuilder::new(csv_schema(path)?)
        .with_format(csv_format())
        .build(File::open(path).map_err(open)?)
        .map_err(unreadable)?;
    for batch in reader {
        push(&batch.map_err(unreadable)?)?;
    }
    Ok(())
}

/// Weekdays of an inclusive range of days, which may be very long.
fn weekdays(first: NaiveDate, last: NaiveDate) -> usize {
    let days = usize::try_from((last - first).num_days() + 1).unwrap_or_default();
    let rest = first.iter_days().take(days % 7);
    5 * (days / 7) + rest.filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)).count()
}

fn csv_format() -> csv::reader::Format {
    csv::reader::Format::default().with_header(true)
}

/// The columns that the header names, all as text.
fn csv_schema(path: &Path) -> Result<SchemaRef, LoadError> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(|source| LoadError::Open { place: place.clone(), source })?;
    let inferred = csv_format().infer_schema(file, Some(0));
    let (inferred, _) = inferred.map_err(|source| LoadError::Unreadable { place, source })?;
    let fields: Vec<Field> =
        inferred.fields().iter().map(|field| Field::new(field.name().trim(), DataType::Utf8, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// What was read, for the record: equal descriptions mean equal data.
fn describe(place: &Place, sources: &[Source], adjusted: bool) -> Value {
    let mut about = match (place, sources.first().map(|source| &source.kind)) {
        (Place::At(location), Some(SourceKind::Table(table))) => {
            json!({ "table": location.to_string(), "version": table.version() })
        }
        (Place::At(location), _) => json!({ "path": location.to_string() }),
        (Place::PerSymbol(pattern), _) => json!({ "path": pattern }),
    };
    if adjusted {
        about["adjusted"] = json!(true);
    }
    about
}

/// Refuses a lake that is a folder where the field asks for a storage account.
fn must_be_remote(lake: &Location, field: &str) -> Result<(), Fault> {
    match lake {
        Location::Local(_) => {
            Err(Fault { path: field.into(), message: "is ADLS, but the lake here is a folder".into() })
        }
        Location::Remote(_) => Ok(()),
    }
}

/// A place, unless it has a file for each symbol and nobody says which.
fn listed(place: Place, config: &BacktestConfig) -> Result<Place, Fault> {
    if matches!(place, Place::PerSymbol(_)) && config.universe.symbols == Symbols::All {
        let message = "must list the symbols of a path with {symbol}";
        return Err(Fault { path: "universe.symbols".into(), message: message.into() });
    }
    Ok(place)
}

/// The signal columns that are read, in lower case; all of them without names. `None` if no row is read. Without any
/// column it only matters who has a row.
fn signal_columns(config: &BacktestConfig) -> Option<Option<Vec<String>>> {
    match config.signal_columns() {
        SignalColumns::None => config.reads_signal_rows().then(|| Some(Vec::new())),
        SignalColumns::All => Some(None),
        SignalColumns::Named(names) => {
            Some(Some(names.iter().map(|name| name.to_ascii_lowercase()).collect()))
        }
    }
}

/// Suffix of a strategy's name in the name of its column.
const PERCENTILE: &str = "_percentile";

/// Signals of the window as Postgres serves them, of the columns that are wanted, and what was read: composites and, for
/// each strategy, its percentiles beside them.
async fn served(
    signals: &PostgresSignals,
    window: &Arc<Window>,
    start: NaiveDate,
    wanted: Option<&[String]>,
) -> Result<(SignalRows, Value), LoadError> {
    let names = ["composite_percentile", "composite_rank", "strategies_present", "strategies_hit"];
    let strategies = wanted.map(|wanted| {
        let columns = wanted.iter().filter(|name| !names.contains(&name.as_str()));
        columns.filter_map(|name| Some(name.strip_suffix(PERCENTILE)?.to_owned())).collect::<Vec<_>>()
    });
    let asked = postgres::Window {
        first: window.first,
        last: window.last,
        symbols: (!window.symbols.is_empty()).then_some(window.symbols.as_slice()),
        strategies: strategies.as_deref(),
    };
    let (context, mut rows) = (Context::new(window), SignalRows::default());
    rows.columns = names.map(|name| (name.to_owned(), Vec::new())).into();
    // The rows of the day whose percentiles are coming, by symbol.
    let mut day: (i32, HashMap<u32, usize>) = (i32::MIN, HashMap::new());
    let each = &mut |row: Served| match row {
        Served::Composite(row) => {
            let Some(symbol) = context.id(&row.symbol) else { return };
            rows.date.push(row.date.to_epoch_days());
            rows.symbol.push(symbol);
            let cells = [
                row.composite_percentile,
                f64::from(row.composite_rank),
                f64::from(row.strategies_present),
                f64::from(row.strategies_hit),
            ];
            for ((_, column), cell) in rows.columns.iter_mut().zip(cells) {
                column.push(cell);
            }
        }
        Served::Percentile(row) => {
            let date = row.date.to_epoch_days();
            if date != day.0 {
                let first = rows.date.partition_point(|&known| known < date);
                let symbols = (first..).zip(&rows.symbol[first..]).zip(&rows.date[first..]);
                let of_day = symbols.take_while(|(_, known)| **known == date);
                day = (date, of_day.map(|((at, &symbol), _)| (symbol, at)).collect());
            }
            let Some(&at) = context.id(&row.symbol).and_then(|symbol| day.1.get(&symbol)) else { return };
            let name = format!("{}{PERCENTILE}", row.strategy);
            let column = match rows.columns.iter().position(|(known, _)| *known == name) {
                Some(column) => column,
                None => {
                    rows.columns.push((name, vec![f64::NAN; rows.date.len()]));
                    rows.columns.len() - 1
                }
            };
            rows.columns[column].1[at] = row.rank_percentile;
        }
    };
    let digest = signals.window(&asked, each).await?;
    if rows.date.last().is_none_or(|&last| last < start.to_epoch_days()) {
        return Err(LoadError::NoSignals { place: SERVED_TABLE, first: start, last: window.last });
    }
    rows.symbols = context.into_names();
    rows.columns.retain(|(name, _)| wanted.is_none_or(|all| all.contains(name)));
    Ok((rows, json!({ "table": SERVED_TABLE, "rows_sha256": digest })))
}
