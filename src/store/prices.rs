//! From the data section of a config to the rows it asks for: which table or file is meant, whether it may be
//! read, and its columns as plain vectors. Making a market of the rows is the engine's business.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::csv;
use deltalake::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};

use super::delta::{self, Location, StorageOptions, Table, TableError};
use super::parquet::{self, ParquetFile, ReadError, Selection};
use super::pg::PgError;
use super::signals::postgres::{Composite, PostgresSignals};
use crate::engine::config::{BacktestConfig, Fault, PriceColumns, PriceSource, SignalColumns, SignalSource};
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
    /// Containers that may be read.
    pub containers: Vec<String>,
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
            Self::Open { source, .. } => source.kind() != std::io::ErrorKind::NotFound,
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
        let window = Window::of(config);
        let place = self.price_place(config).map_err(LoadError::Refused)?;
        let mut versions = serde_json::Map::new();

        let sources = self.open(&place, "data.price_path", &window.symbols).await?;
        let mut bars = PriceCollector::new(&window, config.price_columns());
        for source in &sources {
            source.read("date", bars.selection(source)?, &window, &mut |batch| bars.push(batch)).await?;
        }
        versions.insert("prices".into(), describe(&place, &sources, bars.adjusted));

        let signals = match self.signal_place(config).map_err(LoadError::Refused)? {
            Some(wanted) => self.load_signals(config, &window, wanted, &mut versions).await?,
            None => None,
        };
        if signals.is_none() {
            versions.insert("signals".into(), json!({ "source": "computed from prices" }));
        }
        Ok(Loaded { prices: bars.finish(), signals, data_versions: Value::Object(versions) })
    }

    async fn load_signals(
        &self,
        config: &BacktestConfig,
        window: &Window,
        wanted: SignalPlace<'_>,
        versions: &mut serde_json::Map<String, Value>,
    ) -> Result<Option<SignalRows>, LoadError> {
        let columns = match config.signal_columns() {
            SignalColumns::None if !config.reads_signal_rows() => return Ok(None),
            // Which symbols have a row is all that is asked.
            SignalColumns::None => Some(Vec::new()),
            SignalColumns::All => None,
            SignalColumns::Named(names) => Some(names.iter().map(|name| name.to_ascii_lowercase()).collect()),
        };
        let (place, optional) = match wanted {
            SignalPlace::Files { place, optional } => (place, optional),
            SignalPlace::Served(signals) => {
                let (rows, digest) = served(signals, window, columns.as_deref()).await?;
                versions.insert("signals".into(), json!({ "table": SERVED_TABLE, "rows_sha256": digest }));
                return Ok(Some(rows));
            }
        };
        let sources = match self.open(&place, "data.signal_path", &window.symbols).await {
            Ok(sources) => sources,
            Err(LoadError::Missing { .. }) if optional => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut rows = SignalCollector::new(window, columns);
        for source in &sources {
            source.read("date", rows.selection(source)?, window, &mut |batch| rows.push(batch)).await?;
        }
        versions.insert("signals".into(), describe(&place, &sources, false));
        Ok(Some(rows.finish()))
    }

    fn price_place(&self, config: &BacktestConfig) -> Result<Place, Fault> {
        let adls = config.data.price_source == PriceSource::Adls;
        match (&config.data.price_path, &self.lake) {
            (Some(path), _) => self.place(path, adls, "data.price_path"),
            (None, Some(lake)) => Ok(Place::At(lake.join(PRICE_TABLE))),
            (None, None) => Err(Fault {
                path: "data.price_path".into(),
                message: "is required because no lake is configured (BACKTEST_LAKE)".into(),
            }),
        }
    }

    fn signal_place(&self, config: &BacktestConfig) -> Result<Option<SignalPlace<'_>>, Fault> {
        let adls = match config.data.signal_source {
            SignalSource::Auto => config.data.price_source == PriceSource::Adls,
            SignalSource::Local => false,
            SignalSource::Adls => true,
            SignalSource::Postgres => return self.served_place(config).map(Some),
        };
        match (&config.data.signal_path, &self.lake) {
            (Some(path), _) => {
                let place = self.place(path, adls, "data.signal_path")?;
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
            let container = container_of(&url).unwrap_or_default();
            if !self.reach.containers.contains(&container) {
                return Err(fault(format!(
                    "container '{container}' is not in BACKTEST_ADLS_CONTAINER_ALLOWLIST"
                )));
            }
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
        self.reach.allows(relative).map_err(fault)?;
        if path.contains("{symbol}") {
            return Ok(Place::PerSymbol(path.to_owned()));
        }
        Ok(Place::At(Location::Local(relative.to_owned())))
    }

    /// `container/prefix` or a whole address.
    fn address(&self, path: &str) -> Result<url::Url, String> {
        if path.contains("://") {
            return url::Url::parse(path).map_err(|error| format!("is no address: {error}"));
        }
        let account =
            self.account.as_deref().ok_or("needs a storage account (AZURE_STORAGE_ACCOUNT_NAME)")?;
        let (container, prefix) = path.trim_matches('/').split_once('/').unwrap_or((path, ""));
        url::Url::parse(&format!("abfss://{container}@{account}.dfs.core.windows.net/{prefix}"))
            .map_err(|error| format!("is no container and prefix: {error}"))
    }

    async fn open(
        &self,
        place: &Place,
        field: &'static str,
        symbols: &[String],
    ) -> Result<Vec<Source>, LoadError> {
        let location = match place {
            Place::PerSymbol(pattern) => return per_symbol(pattern, symbols, field),
            Place::At(location) => location,
        };
        let missing = || LoadError::Missing { field, place: location.to_string() };
        match location {
            Location::Local(path) if !delta::is_table(path) => {
                let files = local_files(path)?;
                if files.is_empty() { Err(missing()) } else { Ok(files) }
            }
            _ => {
                let table = Table::open(location, &self.options).await?.ok_or_else(missing)?;
                let place = location.to_string();
                Ok(vec![Source { place, kind: SourceKind::Table(Box::new(table)), symbol: None }])
            }
        }
    }
}

impl Reach {
    fn allows(&self, path: &Path) -> Result<(), String> {
        if !self.local {
            return Err("local paths are not allowed here (BACKTEST_ALLOW_LOCAL_DATA)".into());
        }
        if self.local_dirs.is_empty() {
            return Ok(());
        }
        // The part before a `{symbol}` decides; links are followed first, so that none leads outside.
        let fixed: PathBuf =
            path.iter().take_while(|part| !part.to_string_lossy().contains("{symbol}")).collect();
        let real = fixed.canonicalize().map_err(|_| "does not exist".to_owned())?;
        let inside =
            self.local_dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| real.starts_with(dir));
        if inside { Ok(()) } else { Err("lies outside BACKTEST_ALLOWED_DATA_DIRS".into()) }
    }
}

fn container_of(url: &url::Url) -> Option<String> {
    match url.scheme() {
        "abfs" | "abfss" if !url.username().is_empty() => Some(url.username().to_owned()),
        "az" | "adl" | "azure" | "abfs" | "abfss" => url.host_str().map(str::to_owned),
        _ => url.path_segments()?.next().map(str::to_owned),
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

/// The rows a config needs.
struct Window {
    first: NaiveDate,
    last: NaiveDate,
    /// Symbols in question; empty means all of them.
    symbols: Vec<String>,
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
}

/// One thing to read.
struct Source {
    place: String,
    kind: SourceKind,
    /// Symbol of every row, for files that hold only one and have no such column.
    symbol: Option<String>,
}

enum SourceKind {
    Table(Box<Table>),
    Parquet(ParquetFile),
    Csv(PathBuf),
}

impl Source {
    /// Hands the batches that may hold rows of the window to `push`.
    async fn read(
        &self,
        date_column: &str,
        mut selection: Selection,
        window: &Window,
        push: &mut (dyn FnMut(&Batch<'_>) -> Result<(), LoadError> + Send),
    ) -> Result<(), LoadError> {
        selection.dates = Some((date_column.to_owned(), window.first, window.last));
        let files = match &self.kind {
            SourceKind::Csv(path) => {
                return read_csv(path, &mut |batch| push(&Batch { rows: batch, source: self }));
            }
            SourceKind::Parquet(file) => vec![file.clone()],
            SourceKind::Table(table) => table.files(Some((date_column, window.first, window.last))).await?,
        };
        let mut batches = parquet::scan(files, selection);
        while let Some(batch) = batches.recv().await {
            push(&Batch { rows: &batch?, source: self })?;
        }
        Ok(())
    }

    /// Names of the columns, as the source spells them.
    fn columns(&self) -> Result<Option<Vec<String>>, LoadError> {
        match &self.kind {
            SourceKind::Table(table) => {
                Ok(Some(table.schema()?.fields().iter().map(|field| field.name().clone()).collect()))
            }
            // Files tell when they are read.
            _ => Ok(None),
        }
    }
}

struct Batch<'a> {
    rows: &'a RecordBatch,
    source: &'a Source,
}

fn per_symbol(pattern: &str, symbols: &[String], field: &'static str) -> Result<Vec<Source>, LoadError> {
    let mut sources = Vec::new();
    for symbol in symbols {
        let safe = !symbol.contains(['/', '\\']) && symbol != "..";
        let path = PathBuf::from(pattern.replace("{symbol}", symbol));
        if safe {
            for mut source in local_files(&path)? {
                source.symbol = Some(symbol.clone());
                sources.push(source);
            }
        }
    }
    if sources.is_empty() {
        return Err(LoadError::Missing { field, place: pattern.to_owned() });
    }
    Ok(sources)
}

/// A file, or the Parquet and CSV files of a folder by name; nothing when there is none.
fn local_files(path: &Path) -> Result<Vec<Source>, LoadError> {
    let open = |source| LoadError::Open { place: path.display().to_string(), source };
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
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
    paths.into_iter().map(|path| local_file(&path)).collect()
}

fn local_file(path: &Path) -> Result<Source, LoadError> {
    let place = path.display().to_string();
    let kind = if has_extension(path, "csv") {
        SourceKind::Csv(path.to_owned())
    } else {
        SourceKind::Parquet(
            local_parquet(path).map_err(|source| LoadError::Open { place: place.clone(), source })?,
        )
    };
    Ok(Source { place, kind, symbol: None })
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
    let format = csv::reader::Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(File::open(path).map_err(open)?, Some(0)).map_err(unreadable)?;
    let fields: Vec<Field> =
        inferred.fields().iter().map(|field| Field::new(field.name().trim(), DataType::Utf8, true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let reader = csv::ReaderBuilder::new(schema)
        .with_format(format)
        .build(File::open(path).map_err(open)?)
        .map_err(unreadable)?;
    for batch in reader {
        push(&batch.map_err(unreadable)?)?;
    }
    Ok(())
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

/// Gives each distinct symbol an index.
#[derive(Default)]
struct Symbols {
    names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Whether names outside `ids` are left out.
    closed: bool,
}

impl Symbols {
    fn of(window: &Window) -> Self {
        let mut symbols = Self { closed: !window.symbols.is_empty(), ..Self::default() };
        for name in &window.symbols {
            symbols.add(name);
        }
        symbols
    }

    fn add(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        *self.ids.entry(name.to_owned()).or_insert(next)
    }

    fn id(&mut self, name: &str) -> Option<u32> {
        match self.ids.get(name) {
            Some(&id) => Some(id),
            None if self.closed => None,
            None => Some(self.add(name)),
        }
    }
}

/// The days and symbols of the rows of a batch that lie in the window.
struct Keys {
    rows: Vec<u32>,
    days: Vec<i32>,
    symbols: Vec<u32>,
}

impl Keys {
    fn with_capacity(rows: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            days: Vec::with_capacity(rows),
            symbols: Vec::with_capacity(rows),
        }
    }
}

fn keys(batch: &Batch<'_>, window: &Window, symbols: &mut Symbols) -> Result<Keys, LoadError> {
    let (first, last) = (parquet::days_since_epoch(window.first), parquet::days_since_epoch(window.last));
    let days = parquet::as_days(required(batch, "date")?).map_err(|source| unreadable(batch, source))?;
    let ids = symbol_ids(batch, symbols)?;
    let mut keys = Keys::with_capacity(days.len());
    let known = days.null_count() == 0;
    for (row, &day) in days.values().iter().enumerate() {
        if (first..=last).contains(&day)
            && (known || days.is_valid(row))
            && let Some(symbol) = ids.get(row)
        {
            keys.rows.push(row as u32);
            keys.days.push(day);
            keys.symbols.push(symbol);
        }
    }
    Ok(keys)
}

/// Ids of the symbols of a batch, row by row.
enum SymbolIds {
    Constant(Option<u32>),
    Rows(Vec<Option<u32>>),
}

impl SymbolIds {
    fn get(&self, row: usize) -> Option<u32> {
        match self {
            Self::Constant(id) => *id,
            Self::Rows(ids) => ids[row],
        }
    }
}

fn symbol_ids(batch: &Batch<'_>, symbols: &mut Symbols) -> Result<SymbolIds, LoadError> {
    let column = match (parquet::column(batch.rows, "symbol"), &batch.source.symbol) {
        (None, Some(symbol)) => return Ok(SymbolIds::Constant(symbols.id(symbol))),
        (None, None) => required(batch, "symbol")?,
        (Some(column), _) => column,
    };
    let texts = |array: &ArrayRef| {
        deltalake::arrow::compute::cast(array, &DataType::Utf8).map_err(|source| unreadable(batch, source))
    };
    // A dictionary is looked up once per distinct name, not once per row.
    if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
        let names = texts(dictionary.values())?;
        let names = names.as_string::<i32>();
        let ids: Vec<Option<u32>> =
            names.iter().map(|name| name.and_then(|name| symbols.id(name.trim()))).collect();
        let by_row = dictionary.keys_iter().map(|key| key.and_then(|key| ids.get(key).copied().flatten()));
        return Ok(SymbolIds::Rows(by_row.collect()));
    }
    let names = texts(column)?;
    let by_row = names.as_string::<i32>().iter().map(|name| name.and_then(|name| symbols.id(name.trim())));
    Ok(SymbolIds::Rows(by_row.collect()))
}

fn required<'a>(batch: &Batch<'a>, name: &str) -> Result<&'a ArrayRef, LoadError> {
    parquet::column(batch.rows, name).ok_or_else(|| LoadError::NoColumn {
        place: batch.source.place.clone(),
        column: name.to_owned(),
        found: names_of(batch.rows.schema().fields().iter().map(|field| field.name().as_str())),
    })
}

fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn unreadable(batch: &Batch<'_>, source: ArrowError) -> LoadError {
    LoadError::Unreadable { place: batch.source.place.clone(), source }
}

/// Appends the picked rows of a numeric column; a missing value or column is NaN.
fn append(
    to: &mut Vec<f64>,
    batch: &Batch<'_>,
    column: Option<&ArrayRef>,
    keys: &Keys,
) -> Result<(), LoadError> {
    let Some(column) = column else {
        to.resize(to.len() + keys.rows.len(), f64::NAN);
        return Ok(());
    };
    let values = parquet::as_doubles(column).map_err(|source| unreadable(batch, source))?;
    if values.null_count() == 0 && keys.rows.len() == values.len() {
        to.extend_from_slice(values.values());
    } else {
        let picked = keys.rows.iter().map(|&row| row as usize);
        to.extend(picked.map(|row| if values.is_valid(row) { values.value(row) } else { f64::NAN }));
    }
    Ok(())
}

/// Spellings of the adjusted close.
pub(crate) const ADJUSTED_CLOSE: [&str; 4] = ["adj_close", "adjusted_close", "adjclose", "adj close"];

struct PriceCollector<'a> {
    window: &'a Window,
    wanted: PriceColumns,
    symbols: Symbols,
    rows: PriceRows,
    adjusted: bool,
}

impl<'a> PriceCollector<'a> {
    fn new(window: &'a Window, wanted: PriceColumns) -> Self {
        let symbols = Symbols::of(window);
        Self { window, wanted, symbols, rows: PriceRows::default(), adjusted: false }
    }

    fn selection(&self, source: &Source) -> Result<Selection, LoadError> {
        let mut columns = vec!["date", "symbol", "open", "close"];
        columns.extend(ADJUSTED_CLOSE);
        if self.wanted.high_low {
            columns.extend(["high", "low"]);
        }
        if self.wanted.volume {
            columns.push("volume");
        }
        if self.wanted.exchange {
            columns.push("exchange");
        }
        check_columns(source, &["date", "symbol", "open", "close"])?;
        Ok(Selection { columns: Some(columns.into_iter().map(str::to_owned).collect()), dates: None })
    }

    fn push(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let keys = keys(batch, self.window, &mut self.symbols)?;
        let start = self.rows.date.len();
        let of = |name: &str| parquet::column(batch.rows, name);
        append(&mut self.rows.open, batch, Some(required(batch, "open")?), &keys)?;
        if self.wanted.high_low {
            append(&mut self.rows.high, batch, of("high"), &keys)?;
            append(&mut self.rows.low, batch, of("low"), &keys)?;
        }
        append(&mut self.rows.close, batch, Some(required(batch, "close")?), &keys)?;
        if self.wanted.volume {
            append(&mut self.rows.volume, batch, of("volume"), &keys)?;
        }
        if let Some(column) = ADJUSTED_CLOSE.iter().find_map(|name| of(name)) {
            let mut adjusted = Vec::with_capacity(keys.rows.len());
            append(&mut adjusted, batch, Some(column), &keys)?;
            self.adjust(start, &adjusted);
        }
        self.exchanges(batch, &keys)?;
        self.rows.date.extend(&keys.days);
        self.rows.symbol.extend(&keys.symbols);
        Ok(())
    }

    fn finish(self) -> PriceRows {
        PriceRows { symbols: self.symbols.names, ..self.rows }
    }

    /// Puts splits and dividends into all prices of a bar, and keeps its dollar volume.
    fn adjust(&mut self, start: usize, adjusted_close: &[f64]) {
        self.adjusted = true;
        for (row, adjusted) in (start..).zip(adjusted_close) {
            let factor = adjusted / self.rows.close[row];
            if factor.is_finite() && factor > 0.0 {
                self.rows.open[row] *= factor;
                self.rows.close[row] = *adjusted;
                // Columns that are not wanted are empty.
                for (prices, factor) in [
                    (&mut self.rows.high, factor),
                    (&mut self.rows.low, factor),
                    (&mut self.rows.volume, 1.0 / factor),
                ] {
                    if let Some(price) = prices.get_mut(row) {
                        *price *= factor;
                    }
                }
            }
        }
    }

    fn exchanges(&mut self, batch: &Batch<'_>, keys: &Keys) -> Result<(), LoadError> {
        let Some(column) = parquet::column(batch.rows, "exchange") else { return Ok(()) };
        let texts = deltalake::arrow::compute::cast(column, &DataType::Utf8)
            .map_err(|source| unreadable(batch, source))?;
        let texts = texts.as_string::<i32>();
        self.rows.exchange.resize(self.symbols.names.len(), None);
        for (&row, &symbol) in keys.rows.iter().zip(&keys.symbols) {
            let row = row as usize;
            if texts.is_valid(row) {
                let known = &mut self.rows.exchange[symbol as usize];
                if known.as_deref() != Some(texts.value(row)) {
                    *known = Some(texts.value(row).to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Signals of the window as Postgres serves them, of the columns that are wanted, and a digest of them.
async fn served(
    signals: &PostgresSignals,
    window: &Window,
    wanted: Option<&[String]>,
) -> Result<(SignalRows, String), LoadError> {
    let names = ["composite_percentile", "composite_rank", "strategies_present", "strategies_hit"];
    let (mut symbols, mut rows) = (Symbols::of(window), SignalRows::default());
    let mut columns = names.map(|name| (name.to_owned(), Vec::new()));
    let asked = (!window.symbols.is_empty()).then_some(window.symbols.as_slice());
    let each = &mut |row: Composite| {
        let Some(symbol) = symbols.id(row.symbol.trim()) else { return };
        rows.date.push(row.date.to_epoch_days());
        rows.symbol.push(symbol);
        let cells = [
            row.composite_percentile,
            f64::from(row.composite_rank),
            f64::from(row.strategies_present),
            f64::from(row.strategies_hit),
        ];
        for ((_, column), cell) in columns.iter_mut().zip(cells) {
            column.push(cell);
        }
    };
    let digest = signals.window(window.first, window.last, asked, each).await?;
    rows.symbols = symbols.names;
    let is_wanted = |name: &String| wanted.is_none_or(|all| all.iter().any(|one| one == name));
    rows.columns = columns.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    Ok((rows, digest))
}

struct SignalCollector<'a> {
    window: &'a Window,
    symbols: Symbols,
    /// Lower-case names; `None` takes every numeric column.
    wanted: Option<Vec<String>>,
    rows: SignalRows,
}

impl<'a> SignalCollector<'a> {
    fn new(window: &'a Window, wanted: Option<Vec<String>>) -> Self {
        let symbols = Symbols::of(window);
        Self { window, symbols, wanted, rows: SignalRows::default() }
    }

    fn finish(self) -> SignalRows {
        SignalRows { symbols: self.symbols.names, ..self.rows }
    }

    fn selection(&self, source: &Source) -> Result<Selection, LoadError> {
        check_columns(source, &["date", "symbol"])?;
        let columns = self.wanted.as_ref().map(|wanted| {
            ["date", "symbol"].into_iter().map(str::to_owned).chain(wanted.iter().cloned()).collect()
        });
        Ok(Selection { columns, dates: None })
    }

    fn push(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let keys = keys(batch, self.window, &mut self.symbols)?;
        let before = self.rows.date.len();
        let text_is_number = matches!(batch.source.kind, SourceKind::Csv(_));
        for (field, column) in batch.rows.schema().fields().iter().zip(batch.rows.columns()) {
            let name = field.name();
            let key = name.eq_ignore_ascii_case("date") || name.eq_ignore_ascii_case("symbol");
            let wanted =
                self.wanted.as_ref().is_none_or(|all| all.iter().any(|one| one.eq_ignore_ascii_case(name)));
            let numeric = parquet::is_numeric(field.data_type()) || text_is_number;
            if key || !wanted || !numeric {
                continue;
            }
            let at = match self.rows.columns.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some(at) => at,
                None => {
                    self.rows.columns.push((name.clone(), vec![f64::NAN; before]));
                    self.rows.columns.len() - 1
                }
            };
            append(&mut self.rows.columns[at].1, batch, Some(column), &keys)?;
        }
        let rows = before + keys.rows.len();
        for (_, values) in &mut self.rows.columns {
            values.resize(rows, f64::NAN);
        }
        self.rows.date.extend(&keys.days);
        self.rows.symbol.extend(&keys.symbols);
        Ok(())
    }
}

/// Refuses a table without the columns that every row must have, before anything is read.
fn check_columns(source: &Source, needed: &[&str]) -> Result<(), LoadError> {
    let Some(found) = source.columns()? else { return Ok(()) };
    for column in needed {
        if !found.iter().any(|name| name.eq_ignore_ascii_case(column)) {
            return Err(LoadError::NoColumn {
                place: source.place.clone(),
                column: (*column).to_owned(),
                found: names_of(found.iter().map(String::as_str)),
            });
        }
    }
    Ok(())
}
