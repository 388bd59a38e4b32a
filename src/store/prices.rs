//! From the data section of a config to the rows it asks for: which table or file is meant, and whether it may be
//! read. What becomes of a batch is told in `rows`; making a market of the rows is the engine's business.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate, Weekday};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::blob::Directory;
use super::changes::{self, TableChange};
use super::delta::{self, AsOf, DataFile, Location, StorageOptions, Table};
use super::files;
use super::load_error::{LoadError, is_nothing};
use super::provenance::Origins;
use super::rows::{Context, Origin, Window};
use super::series::{self, SeriesInput};
use super::signals::postgres::{self, PostgresSignals, Served};
use super::sources::{Opened, Place, Source, SourceKind, Wanted, row_bytes, source_of};
use super::versions::{self, Basis, Pin, Pins};
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
    /// What the reader of the results should know and is known already.
    pub warnings: Vec<String>,
}

/// What has become of what a run read.
#[derive(Debug)]
pub struct Changes {
    /// What became of the table of prices.
    pub prices: TableChange,
    /// Of the signals, where the run read any.
    pub signals: Option<TableChange>,
    /// Of the table of the benchmark, where it has one.
    pub benchmark: Option<TableChange>,
    /// Of the table of the risk-free rate, where it has one.
    pub risk_free: Option<TableChange>,
}

impl MarketData {
    /// Refuses a config that would read what it must not; touches no data.
    pub fn check(&self, config: &BacktestConfig) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let prices = self.price_place(config).err();
        let signals = self.signal_place(config).err();
        faults.extend(prices.into_iter().chain(signals));
        faults.extend(
            series::asked(config)
                .into_iter()
                .filter_map(|(field, series)| self.series_place(field, series.path?, config).err()),
        );
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The versions that `config` would read now, so that every attempt of a run reads the same.
    pub async fn pins(&self, config: &BacktestConfig) -> Result<Pins, LoadError> {
        let inputs = self.inputs(config, &Pins::default()).await?;
        let signals = match &inputs.signals {
            SignalInput::Opened { opened, .. } => opened.pin()?,
            // A table that comes meanwhile is not what was asked for.
            SignalInput::Computed => Some(Pin::Without { source: versions::COMPUTED.to_owned() }),
            SignalInput::Served { .. } => None,
        };
        let pin =
            |series: &Option<SeriesInput>| series.as_ref().map_or(Ok(None), |series| series.opened.pin());
        let (benchmark, risk_free) = (pin(&inputs.benchmark)?, pin(&inputs.risk_free)?);
        Ok(Pins { prices: inputs.prices.pin()?, signals, benchmark, risk_free, first_rows: false })
    }

    /// The newest day that all have which `config` decides by: prices, and signals where it reads any. Of tables their logs are
    /// looked at, of signals of the database the newest row. `None` while one of them is empty.
    ///
    /// # Errors
    /// A refusal if one of them cannot tell, as a plain file cannot.
    pub async fn newest_day(&self, config: &BacktestConfig) -> Result<Option<NaiveDate>, LoadError> {
        let inputs = self.inputs(config, &Pins::default()).await?;
        let prices = inputs.prices.newest_day().await?;
        let signals = match &inputs.signals {
            SignalInput::Computed => return Ok(prices),
            SignalInput::Opened { opened, .. } => opened.newest_day().await?,
            SignalInput::Served { signals, .. } => {
                signals.composites(None, None, 1).await?.first().map(|row| row.date)
            }
        };
        // Nothing is less than any day.
        Ok(prices.min(signals))
    }

    /// Loads what `config` asks for: of each table the version that is pinned, or the one that the config names, or the
    /// newest.
    ///
    /// # Errors
    /// One for which [`LoadError::is_gone`] holds when a version or its files cannot be read any more.
    pub async fn load(&self, config: &BacktestConfig, pins: &Pins) -> Result<Loaded, LoadError> {
        let inputs = self.inputs(config, pins).await?;
        let window = &inputs.window;
        let (mut prices, price_version) = inputs.prices.bars(window, &config.price_columns()).await?;
        let (signals, signal_version) = match &inputs.signals {
            SignalInput::Computed => (None, versions::computed()),
            SignalInput::Opened { opened, columns } => {
                let (rows, warnings, version) = opened.signals(window, columns.as_deref()).await?;
                prices.warnings.extend(warnings);
                (Some(rows), version)
            }
            SignalInput::Served { signals, columns } => {
                let (rows, version) = served(signals, window, config.start_date, columns.as_deref()).await?;
                (Some(rows), version)
            }
        };
        let mut data_versions = json!({ "prices": price_version, "signals": signal_version });
        if let Some(series) = &inputs.benchmark {
            let (numbers, warnings, version) = series.read().await?;
            prices.benchmark = Some(numbers);
            prices.warnings.extend(warnings);
            data_versions["benchmark"] = version;
        }
        if let Some(series) = &inputs.risk_free {
            let (numbers, warnings, version) = series.read().await?;
            prices.risk_free = Some(numbers);
            prices.warnings.extend(warnings);
            data_versions["risk_free"] = version;
        }
        Ok(Loaded { prices, signals, data_versions })
    }

    /// Looks at what [`Self::load`] would read: of tables the log, of plain files, which nothing else names, every byte.
    pub async fn survey(&self, config: &BacktestConfig) -> Result<Survey, LoadError> {
        let inputs = self.inputs(config, &Pins::default()).await?;
        let window = &inputs.window;
        let mut sizes = inputs.prices.sizes(window).await?;
        let signal_version = match &inputs.signals {
            SignalInput::Computed => versions::computed(),
            SignalInput::Opened { opened, .. } => {
                sizes.extend(opened.sizes(window).await?);
                opened.describe(&opened.seen(window).await?, Basis::Plain)
            }
            SignalInput::Served { signals, columns } => {
                served(signals, window, config.start_date, columns.as_deref()).await?.1
            }
        };
        let (basis, mut warnings) = inputs.prices.adjustment(&config.price_columns()).await?;
        warnings.extend(inputs.prices.absences());
        if let SignalInput::Opened { opened, .. } = &inputs.signals {
            warnings.extend(opened.absences());
        }
        let price_version = inputs.prices.describe(&inputs.prices.seen(window).await?, basis);
        let mut data_versions = json!({ "prices": price_version, "signals": signal_version });
        for (name, series) in [("benchmark", &inputs.benchmark), ("risk_free", &inputs.risk_free)] {
            if let Some(series) = series {
                sizes.extend(series.opened.sizes(&series.window).await?);
                data_versions[name] =
                    series.opened.describe(&series.opened.seen(&series.window).await?, Basis::Plain);
            }
        }
        Ok(Survey {
            data_versions,
            weekdays: weekdays(window.first, window.last),
            files: sizes.len(),
            bytes: sizes.iter().sum(),
            warnings,
        })
    }

    /// About how many bytes the rows have that `config` would read, as `store::kept` writes them: hardly ever fewer, since it
    /// counts what the logs and the universe allow. Of signals of the database only a listed universe tells.
    pub async fn rows_bytes(&self, config: &BacktestConfig) -> Result<u64, LoadError> {
        let inputs = self.inputs(config, &Pins::default()).await?;
        let window = &inputs.window;
        let most = (!window.symbols.is_empty()).then(|| {
            (window.symbols.len() as u64).saturating_mul(weekdays(window.first, window.last) as u64)
        });
        let wanted = config.price_columns();
        let unadjusted = inputs.prices.basis(&wanted).await?.0 == Basis::Unadjusted;
        let PriceColumns { high_low, volume, others, .. } = wanted;
        let numbers =
            2 + 2 * u64::from(high_low) + u64::from(volume) + 2 * u64::from(unadjusted) + others.len() as u64;
        let prices = inputs.prices.rows_bytes(window, Some(numbers), most).await?;
        let signals = match &inputs.signals {
            SignalInput::Computed => 0,
            SignalInput::Opened { opened, columns } => {
                opened.rows_bytes(window, columns.as_ref().map(|columns| columns.len() as u64), most).await?
            }
            SignalInput::Served { columns, .. } => most
                .unwrap_or(0)
                .saturating_mul(row_bytes(columns.as_ref().map_or(4, |columns| columns.len() as u64))),
        };
        Ok(prices.saturating_add(signals))
    }

    /// What has become of what a run read, by the logs of its tables. What has no log is read if `contents` are asked for, and
    /// unknown otherwise.
    pub async fn changes(
        &self,
        config: &BacktestConfig,
        used: &Value,
        contents: bool,
    ) -> Result<Changes, LoadError> {
        let config = config.of_newest_data();
        let window = Arc::new(Window::of(&config));
        let pins = Pins::of(used);
        let place = self.price_place(&config).map_err(LoadError::Refused)?;
        let asked = (place, "data.price_path", pins.prices.as_ref(), &used["prices"]);
        let prices = self.change(asked, &window, contents).await?;
        let place = self.signal_place(&config).map_err(LoadError::Refused)?;
        let signals = match (place, signal_columns(&config)) {
            (Some(SignalPlace::Served(_)), Some(_)) if !contents => Some(TableChange::UNKNOWN),
            (Some(SignalPlace::Served(signals)), Some(columns)) => {
                let now = served(signals, &window, config.start_date, columns.as_deref()).await?.1;
                Some(TableChange::of_content(&used["signals"], &now))
            }
            // What was computed from prices is as they are.
            (Some(SignalPlace::Files { place, .. }), Some(_)) if used["signals"]["source"].is_null() => {
                let asked = (place, "data.signal_path", pins.signals.as_ref(), &used["signals"]);
                Some(self.change(asked, &window, contents).await?)
            }
            _ => None,
        };
        let (mut benchmark, mut risk_free) = (None, None);
        for (field, series) in series::asked(&config) {
            let Some(path) = series.path else { continue };
            let place = self.series_place(field, path, &config).map_err(LoadError::Refused)?;
            let window = Arc::new(series::window(&config, series));
            let (pin, name, found) = match field {
                series::BENCHMARK => (pins.benchmark.as_ref(), "benchmark", &mut benchmark),
                _ => (pins.risk_free.as_ref(), "risk_free", &mut risk_free),
            };
            *found = Some(self.change((place, field, pin, &used[name]), &window, contents).await?);
        }
        Ok(Changes { prices, signals, benchmark, risk_free })
    }

    /// What has become of one source.
    async fn change(
        &self,
        (place, field, pin, used): (Place, &'static str, Option<&Pin>, &Value),
        window: &Arc<Window>,
        contents: bool,
    ) -> Result<TableChange, LoadError> {
        if let (Place::At(location), Some(Pin::Table(version))) = (&place, pin) {
            return Ok(changes::since(location, &self.options, version, window.dates()).await?);
        }
        if !contents {
            return Ok(TableChange::UNKNOWN);
        }
        let opened = match self.open(place, field, &window.symbols, &Wanted::Newest).await {
            Err(LoadError::Missing { .. }) => return Ok(TableChange::GONE),
            opened => opened?,
        };
        let now = opened.describe(&opened.seen(window).await?, Basis::of(used));
        Ok(TableChange::of_content(used, &now))
    }

    /// When the rows of the tables of a config were committed, by their logs. It never fails: what cannot be told is said.
    pub async fn origins(&self, config: &BacktestConfig, pins: &Pins) -> Origins {
        let inputs = match self.inputs(config, pins).await {
            Ok(inputs) => inputs,
            Err(error) => {
                let why = || Some(Err(error.to_string()));
                return Origins { prices: why(), signals: why() };
            }
        };
        let signals = match &inputs.signals {
            SignalInput::Computed => None,
            SignalInput::Opened { opened, .. } => Some(opened.origins().await),
            SignalInput::Served { .. } => Some(Err("rows of the database have no history".to_owned())),
        };
        Origins { prices: Some(inputs.prices.origins().await), signals }
    }

    /// Open and close of every symbol in the lake's own price table, from `first` on or from the beginning.
    pub async fn bars_since(&self, first: Option<NaiveDate>) -> Result<PriceRows, LoadError> {
        self.bars(Window::since(first)).await
    }

    /// The same from one day to another.
    pub async fn bars_between(&self, first: NaiveDate, last: NaiveDate) -> Result<PriceRows, LoadError> {
        self.bars(Window { last, ..Window::since(Some(first)) }).await
    }

    async fn bars(&self, window: Window) -> Result<PriceRows, LoadError> {
        let place = self.lake_prices().map_err(LoadError::Refused)?;
        let opened = self.open(place, "data.price_path", &[], &Wanted::Newest).await?;
        opened.check_columns(&BAR_COLUMNS)?;
        Ok(opened.bars(&Arc::new(window), &PriceColumns::default()).await?.0)
    }

    /// The files of the lake's own price table, as its log has them. `None` where there is no Delta table.
    pub async fn price_files(&self) -> Result<Option<Vec<DataFile>>, LoadError> {
        let Some(lake) = &self.lake else { return Ok(None) };
        match Table::open(&lake.join(PRICE_TABLE), &self.options).await? {
            Some(table) => Ok(Some(table.data_files(delta::DATE).await?)),
            None => Ok(None),
        }
    }

    /// The numbers of a table of signals below the lake root, of all columns or of those that are named, and what is to be
    /// said of its rows.
    pub async fn signals_of(
        &self,
        table: &str,
        columns: Option<&[String]>,
    ) -> Result<(SignalRows, Vec<String>), LoadError> {
        const FIELD: &str = "--table";
        let missing = || LoadError::Missing { field: FIELD, place: table.to_owned() };
        let place = Place::At(self.lake.as_ref().ok_or_else(missing)?.join(table));
        let opened = self.open(place, FIELD, &[], &Wanted::Newest).await?;
        opened.check_columns(&["date", "symbol"])?;
        let (rows, warnings, _) = opened.signals(&Arc::new(Window::since(None)), columns).await?;
        Ok((rows, warnings))
    }

    /// Everything that a config reads, opened and not yet read.
    pub(super) async fn inputs(&self, config: &BacktestConfig, pins: &Pins) -> Result<Inputs<'_>, LoadError> {
        let window = Arc::new(Window::of(config));
        let place = self.price_place(config).map_err(LoadError::Refused)?;
        let at = Wanted::of(pins.prices.as_ref(), config.data.price_version, "data.price_version", config);
        let prices = self.open(place, "data.price_path", &window.symbols, &at).await?;
        prices.check_columns(&BAR_COLUMNS)?;
        let wanted = self.signal_place(config).map_err(LoadError::Refused)?;
        let signals = match (wanted, signal_columns(config)) {
            (Some(SignalPlace::Served(signals)), Some(columns)) => SignalInput::Served { signals, columns },
            (Some(SignalPlace::Files { optional: true, .. }), Some(_))
                if matches!(pins.signals, Some(Pin::Without { .. })) =>
            {
                SignalInput::Computed
            }
            (Some(SignalPlace::Files { place, optional }), Some(columns)) => {
                let version = config.data.signal_version;
                let at = Wanted::of(pins.signals.as_ref(), version, "data.signal_version", config);
                match self.open(place, "data.signal_path", &window.symbols, &at).await {
                    Ok(opened) => {
                        opened.check_columns(&["date", "symbol"])?;
                        SignalInput::Opened { opened, columns }
                    }
                    Err(LoadError::Missing { .. }) if optional && version.is_none() => SignalInput::Computed,
                    Err(error) => return Err(error),
                }
            }
            _ => SignalInput::Computed,
        };
        let (mut benchmark, mut risk_free) = (None, None);
        for (field, series) in series::asked(config) {
            let Some(path) = series.path else { continue };
            let (pin, input) = match field {
                series::BENCHMARK => (pins.benchmark.as_ref(), &mut benchmark),
                _ => (pins.risk_free.as_ref(), &mut risk_free),
            };
            let place = self.series_place(field, path, config).map_err(LoadError::Refused)?;
            let opened = self.open(place, field, &[], &Wanted::of(pin, None, field, config)).await?;
            *input = Some(SeriesInput::of(opened, field, series, config));
        }
        Ok(Inputs { window, prices, signals, benchmark, risk_free })
    }

    /// The place of the table of a series.
    fn series_place(&self, field: &'static str, path: &str, config: &BacktestConfig) -> Result<Place, Fault> {
        let place = self.place(path, config.data.price_source == PriceSource::Adls, field)?;
        if matches!(place, Place::PerSymbol { .. }) {
            let message =
                "must be one table or file: the rows of one symbol of it are named by symbol".to_owned();
            return Err(Fault { path: field.into(), message });
        }
        Ok(place)
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
        let path = &path.replace("{ symbol }", SYMBOL);
        if path.contains(SYMBOL) {
            // The part before the symbol must be allowed; what a symbol makes of the rest is looked at one by one.
            if path.contains("://") || adls {
                let url = self.address(&path.replace(SYMBOL, "symbol")).map_err(fault)?;
                self.allows(&url).map_err(fault)?;
            } else {
                let fixed: PathBuf = Path::new(path)
                    .iter()
                    .take_while(|part| !part.to_string_lossy().contains(SYMBOL))
                    .collect();
                let in_lake = matches!(&self.lake, Some(Location::Local(root)) if is_plain(&fixed)
                    && !fixed.as_os_str().is_empty() && root.join(&fixed).is_dir());
                let in_remote_lake = matches!(self.lake, Some(Location::Remote(_))) && is_plain(&fixed);
                if !in_lake && (self.reach.local || !in_remote_lake) {
                    self.reach.allows(&fixed).map_err(fault)?;
                }
            }
            return Ok(Place::PerSymbol { pattern: path.clone(), adls });
        }
        if path.contains("://") || adls {
            let url = self.address(path).map_err(fault)?;
            self.allows(&url).map_err(fault)?;
            return Ok(Place::At(Location::Remote(url)));
        }
        let relative = Path::new(path);
        let plain = is_plain(relative);
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
        Ok(Place::At(Location::Local(relative.to_owned())))
    }

    /// `container/prefix` or a whole address.
    fn address(&self, path: &str) -> Result<url::Url, String> {
        if path.contains("://") {
            return match Location::parse(path)? {
                Location::Remote(url) => Ok(url),
                Location::Local(_) => Err("is not an address".to_owned()),
            };
        }
        let account = self.account.as_deref().ok_or(
            "needs a storage account (AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING)",
        )?;
        let (container, prefix) = path.trim_matches('/').split_once('/').unwrap_or((path, ""));
        url::Url::parse(&format!("abfss://{container}@{account}.dfs.core.windows.net/{prefix}"))
            .map_err(|error| format!("is not a container and prefix: {error}"))
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
        place: Place,
        field: &'static str,
        symbols: &[String],
        at: &Wanted<'_>,
    ) -> Result<Opened, LoadError> {
        let mut absent = Vec::new();
        if let (Place::PerSymbol { .. }, Wanted::Version { field, .. }) = (&place, at) {
            let message = "says nothing of a table for each symbol; data.as_of does".to_owned();
            return Err(LoadError::Refused(Fault { path: (*field).into(), message }));
        }
        let sources = match &place {
            Place::At(location) => self.sources(location, None, field, at).await?,
            Place::PerSymbol { pattern, adls } => {
                let mut sources = Vec::new();
                // In the order of the symbols, some at once: each is a table of its own.
                for some in symbols.chunks(16) {
                    let each = some.iter().map(|symbol| self.of_symbol(pattern, *adls, symbol, field, at));
                    for (symbol, found) in some.iter().zip(join_all(each).await) {
                        match found? {
                            found if found.is_empty() => absent.push(symbol.clone()),
                            found => sources.extend(found),
                        }
                    }
                }
                sources
            }
        };
        if sources.is_empty() {
            return Err(LoadError::Missing { field, place: place.to_string() });
        }
        let name = match &place {
            Place::At(location) => self.name_of(location),
            Place::PerSymbol { pattern, .. } => pattern.clone(),
        };
        Ok(Opened { place, name, field, sources, absent })
    }

    /// What a table or file is called in records: tables of the lake by their place in it, so that a lake may move.
    fn name_of(&self, location: &Location) -> String {
        let place = location.to_string();
        let lake = self.lake.as_ref().map(|lake| format!("{}/", lake.to_string().trim_end_matches('/')));
        lake.and_then(|lake| place.strip_prefix(&lake).map(str::to_owned)).unwrap_or(place)
    }

    /// What there is of one symbol.
    async fn of_symbol(
        &self,
        pattern: &str,
        adls: bool,
        symbol: &str,
        field: &'static str,
        at: &Wanted<'_>,
    ) -> Result<Vec<Source>, LoadError> {
        // No symbol leads out of the folder that was allowed.
        if symbol.contains(['/', '\\']) || matches!(symbol, "." | "..") {
            return Ok(Vec::new());
        }
        let path = pattern.replace(SYMBOL, symbol);
        let location = match self.place(&path, adls, field) {
            Ok(Place::At(location)) => location,
            // Whether a path is allowed is only known of one that is there.
            Err(_) if !adls && matches!(Path::new(&path).metadata(), Err(error) if is_nothing(&error)) => {
                return Ok(Vec::new());
            }
            Ok(Place::PerSymbol { .. }) => return Ok(Vec::new()),
            Err(fault) => return Err(LoadError::Refused(fault)),
        };
        self.sources(&location, Some(symbol), field, at).await
    }

    /// The table or the files at a place; none if there is nothing.
    async fn sources(
        &self,
        location: &Location,
        symbol: Option<&str>,
        field: &'static str,
        at: &Wanted<'_>,
    ) -> Result<Vec<Source>, LoadError> {
        let as_of = at.as_of(symbol);
        let is_folder = matches!(location, Location::Local(path) if !delta::is_table(path));
        let newest = AsOf::Newest;
        let wanted = as_of.as_ref().unwrap_or(&newest);
        let table = if is_folder { None } else { Table::open_at(location, &self.options, wanted).await? };
        if let Some(table) = table {
            if as_of.is_none() {
                return Err(LoadError::Gone {
                    place: location.to_string(),
                    why: "no table was there, and now there is one".to_owned(),
                });
            }
            let origin =
                Origin { place: location.to_string(), symbol: symbol.map(str::to_owned), first_line: None };
            let kind = SourceKind::Table(Box::new(table));
            return Ok(vec![Source { origin: Arc::new(origin), kind, only: None, columns: OnceCell::new() }]);
        }
        // A file, or the files of a folder in the order of their names; those of `key=value` folders have the column
        // `key`.
        let mut sources = Vec::new();
        for file in files::at(location, &self.options).await? {
            let refused = |message| LoadError::Refused(Fault { path: field.into(), message });
            if let Some(path) = file.path() {
                self.reach.allows(path).map_err(refused)?;
            }
            sources.push(source_of(file, symbol).await?);
        }
        at.check_files(location, as_of.as_ref(), !sources.is_empty())?;
        Ok(sources)
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

/// What stands for a symbol in a path.
const SYMBOL: &str = "{symbol}";

/// The columns that every bar has.
const BAR_COLUMNS: [&str; 4] = ["date", "symbol", "open", "close"];

/// Whether a path neither begins at a root nor climbs.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Everything that a config reads, opened: it is surveyed or read.
pub(super) struct Inputs<'a> {
    pub(super) window: Arc<Window>,
    pub(super) prices: Opened,
    pub(super) signals: SignalInput<'a>,
    benchmark: Option<SeriesInput>,
    risk_free: Option<SeriesInput>,
}

pub(super) enum SignalInput<'a> {
    /// Computed from the prices, as far as there are any.
    Computed,
    Opened {
        opened: Opened,
        columns: Option<Vec<String>>,
    },
    Served {
        signals: &'a PostgresSignals,
        columns: Option<Vec<String>>,
    },
}

#[derive(Debug)]
enum SignalPlace<'a> {
    /// A table or files; computed from prices where there are none and none need to be.
    Files { place: Place, optional: bool },
    /// What Postgres serves.
    Served(&'a PostgresSignals),
}

/// Weekdays of an inclusive range of days, which may be very long.
fn weekdays(first: NaiveDate, last: NaiveDate) -> usize {
    let days = usize::try_from((last - first).num_days() + 1).unwrap_or_default();
    let rest = first.iter_days().take(days % 7);
    5 * (days / 7) + rest.filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)).count()
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

/// A place, unless it has a file for each symbol and it is not said which.
fn listed(place: Place, config: &BacktestConfig) -> Result<Place, Fault> {
    if matches!(place, Place::PerSymbol { .. }) && config.universe.symbols == Symbols::All {
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
    rows.symbols = context.into_names().0;
    rows.columns.retain(|(name, _)| wanted.is_none_or(|all| all.contains(name)));
    Ok((rows, json!({ "table": SERVED_TABLE, "rows_sha256": digest })))
}
