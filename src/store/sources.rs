//! The tables and files of one place, at the version that is asked for: what they are, which columns they have, and how
//! their rows are read. Which place a config means, and whether it may be read, is told in `prices`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::RecordBatch;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::columns::{self, ADJUSTED_CLOSE, DIVIDEND, SPLIT_FACTOR};
use super::delta::{AsOf, Location, Table};
use super::files::Found;
use super::load_error::LoadError;
use super::parquet::{self, ParquetFile, Selection};
use super::provenance::FileOrigin;
use super::rows::{self, Context, Origin, PriceCollector, SignalCollector, Window};
use super::versions::{self, Basis, Hashing, Pin, Seen, SeenKind};
use crate::clock::Timestamp;
use crate::engine::config::{BacktestConfig, Fault, PriceBasis, PriceColumns};
use crate::engine::market::{PriceRows, SignalRows};
use crate::engine::nearest::did_you_mean;

#[derive(Debug, Clone)]
pub(super) enum Place {
    At(Location),
    /// A place for each symbol.
    PerSymbol {
        pattern: String,
        adls: bool,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(location) => location.fmt(f),
            Self::PerSymbol { pattern, .. } => f.write_str(pattern),
        }
    }
}

/// Which version of its tables a source is read at.
pub(super) enum Wanted<'a> {
    Newest,
    /// As another attempt or run had it.
    Pinned(&'a Pin),
    /// As the field of the config says.
    Version {
        field: &'static str,
        version: u64,
    },
    /// As `data.as_of` says.
    Moment(Timestamp),
}

impl<'a> Wanted<'a> {
    pub(super) fn of(
        pin: Option<&'a Pin>,
        version: Option<u32>,
        field: &'static str,
        config: &BacktestConfig,
    ) -> Self {
        match (pin, version, config.data.as_of) {
            (Some(pin), _, _) => Self::Pinned(pin),
            (None, Some(version), _) => Self::Version { field, version: version.into() },
            (None, None, Some(moment)) => Self::Moment(moment),
            (None, None, None) => Self::Newest,
        }
    }

    /// `None` where no table may be.
    pub(super) fn as_of(&self, symbol: Option<&str>) -> Option<AsOf> {
        Some(match self {
            Self::Newest => AsOf::Newest,
            Self::Pinned(pin) => AsOf::Pinned(pin.version_of(symbol)?.clone()),
            Self::Version { version, .. } => AsOf::Version(*version),
            Self::Moment(moment) => AsOf::Moment(*moment),
        })
    }

    /// Refuses plain files, or nothing, where the version of a table is asked for.
    pub(super) fn check_files(
        &self,
        location: &Location,
        as_of: Option<&AsOf>,
        found: bool,
    ) -> Result<(), LoadError> {
        let refused = |path: &str| {
            let message = format!("has no effect on {location}: only Delta tables have versions");
            Err(LoadError::Refused(Fault { path: path.into(), message }))
        };
        match self {
            Self::Version { field, .. } if found => refused(field),
            Self::Moment(_) if found => refused("data.as_of"),
            Self::Pinned(_) => as_of.map_or(Ok(()), |as_of| {
                Err(LoadError::Gone {
                    place: location.to_string(),
                    why: format!("{as_of} of a table was read, and there is no table"),
                })
            }),
            _ => Ok(()),
        }
    }
}

/// Rows that are left out.
pub(super) struct LeftOut {
    /// Whose they are, of those that nobody asked for.
    pub(super) symbols: Vec<String>,
    /// What is to be said of the others.
    pub(super) warnings: Vec<String>,
}

/// The tables and files of one place.
pub(super) struct Opened {
    pub(super) place: Place,
    /// What it is called in records.
    pub(super) name: String,
    pub(super) field: &'static str,
    pub(super) sources: Vec<Source>,
    /// Symbols of a place for each symbol of which there is nothing.
    pub(super) absent: Vec<String>,
}

impl Opened {
    /// The same place with these files of its tables alone, a list for each.
    pub(super) fn with_files(&self, files: Vec<Vec<ParquetFile>>) -> Self {
        let source = |(source, files): (&Source, Vec<ParquetFile>)| {
            let SourceKind::Table(table) = &source.kind else { return None };
            let kind = SourceKind::Table(table.clone());
            Some(Source {
                origin: Arc::clone(&source.origin),
                kind,
                only: Some(files),
                columns: OnceCell::new(),
            })
        };
        Self {
            place: self.place.clone(),
            name: self.name.clone(),
            field: self.field,
            sources: self.sources.iter().zip(files).filter_map(source).collect(),
            absent: Vec::new(),
        }
    }

    /// The bars of a window, and what was read.
    pub(super) async fn bars(
        &self,
        window: &Arc<Window>,
        wanted: &PriceColumns,
    ) -> Result<(PriceRows, Value), LoadError> {
        let context = Context::new(window);
        let (basis, said) = self.basis(wanted).await?;
        let unadjusted = basis == Basis::Unadjusted;
        let (mut bars, mut seen) = (PriceCollector::default(), Vec::with_capacity(self.sources.len()));
        for source in &self.sources {
            let (context, origin) = (context.clone(), Arc::clone(&source.origin));
            let (pieces_of, columns) = (wanted.clone(), Some(rows::price_columns(wanted, unadjusted)));
            let pieces = move || {
                rows::price_pieces(context.clone(), Arc::clone(&origin), pieces_of.clone(), unadjusted)
            };
            seen.push(source.read(columns, window, pieces, &mut |piece| bars.push(piece)).await?);
        }
        // What was read of the window may lack the column.
        let basis = if unadjusted || bars.adjusted { basis } else { Basis::Plain };
        let version = self.describe(&seen, basis);
        let mut rows = bars.finish(context, &self.place.to_string())?;
        rows.warnings.extend(said);
        rows.others.clone_from(&wanted.others);
        rows.warnings.extend(self.absences());
        for name in rows.absent_columns() {
            let hint = did_you_mean(&name, self.columns().await?.iter().map(String::as_str));
            rows.lacks.push((name.clone(), format!("no column '{name}'{hint}")));
        }
        Ok((rows, version))
    }

    /// The signals of a window, what is to be said of them, and what was read.
    pub(super) async fn signals(
        &self,
        window: &Arc<Window>,
        wanted: Option<&[String]>,
    ) -> Result<(SignalRows, Vec<String>, Value), LoadError> {
        let context = Context::new(window);
        let (mut rows, mut seen) = (SignalCollector::default(), Vec::with_capacity(self.sources.len()));
        for source in &self.sources {
            let (context, origin) = (context.clone(), Arc::clone(&source.origin));
            let columns = wanted.map(<[String]>::to_vec);
            let pieces = move || rows::signal_pieces(context.clone(), Arc::clone(&origin), columns.clone());
            let selected = wanted.map(|named| {
                ["date", "symbol"].into_iter().map(str::to_owned).chain(named.iter().cloned()).collect()
            });
            seen.push(source.read(selected, window, pieces, &mut |piece| rows.push(piece)).await?);
        }
        let (mut rows, _, mut warnings) = rows.finish(context, &self.place.to_string())?;
        for name in wanted.unwrap_or_default() {
            if !rows.columns.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                let hint = did_you_mean(name, self.columns().await?.iter().map(String::as_str));
                rows.lacks.push((name.clone(), hint));
            }
        }
        warnings.extend(self.absences());
        Ok((rows, warnings, self.describe(&seen, Basis::Plain)))
    }

    /// The rows of some columns in a window, also of tables without symbols: those are of `symbol`.
    pub(super) async fn named_rows(
        &self,
        window: &Arc<Window>,
        symbol: Option<&str>,
        columns: &[String],
    ) -> Result<(SignalRows, LeftOut, Value), LoadError> {
        let context = Context::new(window);
        let (mut rows, mut seen) = (SignalCollector::default(), Vec::with_capacity(self.sources.len()));
        for source in &self.sources {
            let mut origin = (*source.origin).clone();
            origin.symbol.get_or_insert_with(|| symbol.unwrap_or("-").to_owned());
            let (context, origin, named) = (context.clone(), Arc::new(origin), columns.to_vec());
            let pieces =
                move || rows::signal_pieces(context.clone(), Arc::clone(&origin), Some(named.clone()));
            let selected = ["date", "symbol"].into_iter().map(str::to_owned).chain(columns.iter().cloned());
            seen.push(
                source.read(Some(selected.collect()), window, pieces, &mut |piece| rows.push(piece)).await?,
            );
        }
        let (rows, left_out, warnings) = rows.finish(context, &self.place.to_string())?;
        Ok((rows, LeftOut { symbols: left_out, warnings }, self.describe(&seen, Basis::Plain)))
    }

    pub(super) fn absences(&self) -> Option<String> {
        let (names, count) = (self.absent.iter().take(5), self.absent.len());
        let names = rows::names_of(names.map(String::as_str));
        let more = if count > 5 { ", …" } else { "" };
        (count > 0).then(|| {
            format!("{}: there is nothing at {} for {count} symbols ({names}{more})", self.field, self.place)
        })
    }

    /// Refuses a table without the columns that every row must have, before anything is read. Files tell when they
    /// are read.
    pub(super) fn check_columns(&self, needed: &[&str]) -> Result<(), LoadError> {
        self.sources.iter().try_for_each(|source| source.check_columns(needed))
    }

    /// Names of the columns of its tables and files, each once.
    pub(super) async fn columns(&self) -> Result<Vec<String>, LoadError> {
        self.columns_until(|_| false).await
    }

    /// The same of the first ones, until the names are enough.
    async fn columns_until(&self, enough: impl Fn(&[String]) -> bool) -> Result<Vec<String>, LoadError> {
        let mut names: Vec<String> = Vec::new();
        for some in self.sources.chunks(16) {
            for found in join_all(some.iter().map(Source::columns)).await {
                let known: HashSet<&str> = names.iter().map(String::as_str).collect();
                let new: Vec<String> =
                    found?.iter().filter(|name| !known.contains(name.as_str())).cloned().collect();
                names.extend(new);
            }
            if enough(&names) {
                break;
            }
        }
        Ok(names)
    }

    /// What its prices are taken for, by the config or by their columns, and what is to be said of that.
    pub(super) async fn basis(&self, wanted: &PriceColumns) -> Result<(Basis, Vec<String>), LoadError> {
        let has = |names: &[String], column: &str| {
            columns::position(names.iter().map(String::as_str), column).is_some()
        };
        let unadjusted = wanted.basis == Some(PriceBasis::Unadjusted);
        let names = self.columns_until(|names| !unadjusted && has(names, ADJUSTED_CLOSE)).await?;
        let actions: Vec<&str> =
            [DIVIDEND, SPLIT_FACTOR].into_iter().filter(|column| has(&names, column)).collect();
        Ok(match (wanted.basis, actions.is_empty()) {
            (Some(PriceBasis::Unadjusted), false) => (Basis::Unadjusted, Vec::new()),
            (Some(PriceBasis::Unadjusted), true) => {
                let message = format!(
                    "is unadjusted, but {} has no column {DIVIDEND} or {SPLIT_FACTOR}; it has {}",
                    self.place,
                    rows::names_of(names.iter().map(String::as_str))
                );
                return Err(LoadError::Refused(Fault { path: "data.prices".into(), message }));
            }
            _ if has(&names, ADJUSTED_CLOSE) => (Basis::Adjusted, Vec::new()),
            (Some(PriceBasis::Adjusted), _) => (Basis::Plain, Vec::new()),
            (None, false) => {
                let said = format!(
                    "the prices are taken as unadjusted, since they have {} and no adjusted close; data.prices says which \
                     they are",
                    actions.join(" and ")
                );
                (Basis::Unadjusted, vec![said])
            }
            (None, true) => {
                let unused = names.iter().filter(|name| columns::resembles_action(name));
                let unused = unused.map(|name| {
                    format!(
                        "the column '{name}' of the prices looks like dividends or splits and is not used; where prices \
                         are as they were quoted, {DIVIDEND} and {SPLIT_FACTOR} are booked"
                    )
                });
                (Basis::Plain, unused.collect())
            }
        })
    }

    /// What its prices are taken for, and what is to be said of that and of columns that look like an adjusted close and are not
    /// used.
    pub(super) async fn adjustment(&self, wanted: &PriceColumns) -> Result<(Basis, Vec<String>), LoadError> {
        let (basis, mut said) = self.basis(wanted).await?;
        let mut unused = BTreeSet::new();
        for source in &self.sources {
            let columns = source.columns().await?;
            let own = columns::position(columns.iter().map(String::as_str), ADJUSTED_CLOSE);
            let others = columns.iter().enumerate().filter(|(at, _)| Some(*at) != own).map(|(_, name)| name);
            unused.extend(others.filter(|name| rows::is_unused(name, wanted)));
        }
        said.extend(unused.iter().map(|name| rows::unused_warning(name)));
        Ok((basis, said))
    }

    /// Sizes of the files that may hold rows of the window, in bytes.
    pub(super) async fn sizes(&self, window: &Window) -> Result<Vec<u64>, LoadError> {
        let mut sizes = Vec::new();
        for source in &self.sources {
            sizes.extend(source.sizes(window).await?);
        }
        Ok(sizes)
    }

    /// Bytes of the rows of a window with so many numbers each (`None`: all there are), at `most` so many of them.
    pub(super) async fn rows_bytes(
        &self,
        window: &Window,
        numbers: Option<u64>,
        most: Option<u64>,
    ) -> Result<u64, LoadError> {
        let (mut rows, mut rest, mut widest) = (0, 0, 0);
        for source in &self.sources {
            let SourceKind::Table(table) = &source.kind else {
                // Nobody knows their rows before they are read; in a file they hardly fill less.
                rest += source.sizes(window).await?.iter().sum::<u64>();
                continue;
            };
            let all = table.schema()?.fields().len() as u64;
            widest = widest.max(numbers.unwrap_or(all.saturating_sub(2)));
            for file in table.files(Some(window.dates())).await? {
                match file.table.as_ref().and_then(|table| table.rows) {
                    Some(count) => rows += count,
                    None => rest += file.size,
                }
            }
        }
        let rows = most.map_or(rows, |most| most.min(rows));
        let most =
            most.zip(numbers).map_or(u64::MAX, |(most, numbers)| most.saturating_mul(row_bytes(numbers)));
        Ok(rows.saturating_mul(row_bytes(widest)).saturating_add(rest).min(most))
    }

    /// What there is of a window, by name.
    pub(super) async fn seen(&self, window: &Window) -> Result<Vec<Seen>, LoadError> {
        let mut seen = Vec::with_capacity(self.sources.len());
        for some in self.sources.chunks(16) {
            for found in join_all(some.iter().map(|source| source.seen(window))).await {
                seen.push(found?);
            }
        }
        Ok(seen)
    }

    /// What is read, for the record: equal descriptions mean equal data.
    pub(super) fn describe(&self, seen: &[Seen], basis: Basis) -> Value {
        versions::describe(&self.name, seen, basis)
    }

    /// When the rows of its tables were committed, or why that cannot be told.
    pub(super) async fn origins(&self) -> Result<Vec<FileOrigin>, String> {
        let mut found = Vec::new();
        for source in &self.sources {
            let SourceKind::Table(table) = &source.kind else {
                return Err("plain files have no history".to_owned());
            };
            found.extend(table.origins().await.map_err(|error| error.to_string())?);
        }
        Ok(found)
    }

    /// The newest day of its tables, by their logs; of several the newest of all. `None` without rows.
    ///
    /// # Errors
    /// A refusal if there is no log, or it does not tell.
    pub(super) async fn newest_day(&self) -> Result<Option<NaiveDate>, LoadError> {
        let refused =
            |message: String| Err(LoadError::Refused(Fault { path: self.field.to_owned(), message }));
        let mut newest = None;
        for source in &self.sources {
            let place = &source.origin.place;
            let SourceKind::Table(table) = &source.kind else {
                return refused(format!(
                    "must be a Delta table, whose log says its newest day; {place} is a file (`backtests lake import` makes a table of it)"
                ));
            };
            for file in table.data_files("date").await? {
                let Some((_, last)) = file.dates else {
                    return refused(format!(
                        "must say in its log which days its files hold; that of {place} has no statistics of {}",
                        file.file.path
                    ));
                };
                newest = newest.max(Some(last));
            }
        }
        Ok(newest)
    }

    /// The versions of its tables; `None` without any.
    pub(super) fn pin(&self) -> Result<Option<Pin>, LoadError> {
        let mut tables = BTreeMap::new();
        for source in &self.sources {
            let SourceKind::Table(table) = &source.kind else { continue };
            let version = table.table_version()?;
            match &source.origin.symbol {
                None => return Ok(Some(Pin::Table(version))),
                Some(symbol) => tables.insert(symbol.clone(), version),
            };
        }
        Ok((!tables.is_empty()).then_some(Pin::PerSymbol { tables }))
    }
}

/// One thing to read.
pub(super) struct Source {
    pub(super) origin: Arc<Origin>,
    pub(super) kind: SourceKind,
    /// The files of its table that are read; `None` reads all that may hold rows of the window.
    pub(super) only: Option<Vec<ParquetFile>>,
    /// Names of its columns, once they were asked for: those of a file stand in the file.
    pub(super) columns: OnceCell<Vec<String>>,
}

pub(super) enum SourceKind {
    Table(Box<Table>),
    Parquet { found: Found, file: ParquetFile },
    Text(Found),
}

/// What will be known of a source once it is read.
enum Reading {
    File(Hashing),
    Table(SeenKind),
}

/// What the log says of a table and those of its files that are read.
async fn table_seen(table: &Table, files: &[ParquetFile]) -> Result<SeenKind, LoadError> {
    Ok(SeenKind::Table {
        version: table.table_version()?,
        committed_at: table.committed_at().await?,
        files: versions::file_lines(files),
    })
}

impl Source {
    /// Makes pieces of the batches that may hold rows of the window, and hands them to `push` in the order of the
    /// rows. `columns` are in lower case; `None` takes all. Answers what was read.
    async fn read<T, F>(
        &self,
        columns: Option<Vec<String>>,
        window: &Window,
        each_file: impl Fn() -> F + Send + 'static,
        push: &mut (dyn FnMut(T) + Send),
    ) -> Result<Seen, LoadError>
    where
        T: Send + 'static,
        F: FnMut(RecordBatch) -> Result<T, LoadError> + Send + 'static,
    {
        let (files, reading) = match &self.kind {
            SourceKind::Text(file) => {
                let hashing = Hashing::start(file).await?;
                let mut make = each_file();
                let place = &self.origin.place;
                let unreadable = |source| LoadError::Unreadable { place: place.clone(), source };
                for batch in file.text(None).await?.batches(None)? {
                    let all = parquet::with_constants(batch?, &file.keys, &Selection::default(), None);
                    push(make(all.map_err(unreadable)?)?);
                }
                (Vec::new(), Reading::File(hashing))
            }
            SourceKind::Parquet { found, file } => {
                (vec![file.clone()], Reading::File(Hashing::start(found).await?))
            }
            SourceKind::Table(table) => {
                let files = match &self.only {
                    Some(files) => files.clone(),
                    None => table.files(Some(window.dates())).await?,
                };
                let seen = table_seen(table, &files).await?;
                (files, Reading::Table(seen))
            }
        };
        let selection = Selection { columns, dates: Some(window.dates()) };
        let mut pieces = parquet::scan_with(files, selection, each_file);
        while let Some(piece) = pieces.recv().await {
            push(piece?);
        }
        let kind = match reading {
            Reading::File(hashing) => hashing.finish().await?,
            Reading::Table(seen) => seen,
        };
        Ok(Seen { symbol: self.origin.symbol.clone(), kind })
    }

    /// What there is of a window, by name: the log of a table is read, and every byte of a file.
    async fn seen(&self, window: &Window) -> Result<Seen, LoadError> {
        let kind = match &self.kind {
            SourceKind::Table(table) => table_seen(table, &table.files(Some(window.dates())).await?).await?,
            SourceKind::Parquet { found: file, .. } | SourceKind::Text(file) => {
                Hashing::start(file).await?.finish().await?
            }
        };
        Ok(Seen { symbol: self.origin.symbol.clone(), kind })
    }

    /// Names of its columns.
    async fn columns(&self) -> Result<&[String], LoadError> {
        let read = async || -> Result<Vec<String>, LoadError> {
            Ok(match &self.kind {
                SourceKind::Table(table) => {
                    table.schema()?.fields().iter().map(|field| field.name().clone()).collect()
                }
                SourceKind::Parquet { file, .. } => parquet::columns(file).await?,
                SourceKind::Text(file) => {
                    file.header().await?.heads.into_iter().map(|head| head.name).collect()
                }
            })
        };
        self.columns.get_or_try_init(read).await.map(Vec::as_slice)
    }

    /// Sizes of the files that may hold rows of the window, in bytes.
    async fn sizes(&self, window: &Window) -> Result<Vec<u64>, LoadError> {
        Ok(match &self.kind {
            SourceKind::Table(table) => {
                let files = table.files(Some(window.dates())).await?;
                files.iter().map(|file| file.size).collect()
            }
            SourceKind::Parquet { file, .. } => vec![file.size],
            SourceKind::Text(file) => vec![file.size()?],
        })
    }

    /// Refuses a table without the columns that every row must have, before anything is read. Files tell when they
    /// are read.
    fn check_columns(&self, needed: &[&str]) -> Result<(), LoadError> {
        let SourceKind::Table(table) = &self.kind else { return Ok(()) };
        let schema = table.schema()?;
        for column in needed {
            // A table of one symbol need not say which.
            let told = *column == "symbol" && self.origin.symbol.is_some();
            if !told && !schema.fields().iter().any(|field| columns::means(field.name(), column)) {
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

/// A file as it is read; the header of a text file is looked at.
pub(super) async fn source_of(file: Found, symbol: Option<&str>) -> Result<Source, LoadError> {
    let (place, mut symbol) = (file.place.clone(), symbol.map(str::to_owned));
    let (kind, first_line) = if file.is_text() {
        let text = file.header().await?;
        let mut named = text.heads.iter().filter_map(|head| head.symbol.as_ref());
        if let Some(first) = named.next() {
            if named.any(|other| other != first) {
                return Err(LoadError::SymbolsInHeader { place });
            }
            symbol.get_or_insert_with(|| first.clone());
        }
        (SourceKind::Text(file), Some(text.header_lines + 1))
    } else {
        let parquet = file.parquet()?;
        (SourceKind::Parquet { found: file, file: parquet }, None)
    };
    Ok(Source {
        origin: Arc::new(Origin { place, symbol, first_line }),
        kind,
        only: None,
        columns: OnceCell::new(),
    })
}

/// Bytes of a row that is kept: its numbers, and day and symbol as places in dictionaries.
pub(super) fn row_bytes(numbers: u64) -> u64 {
    8 * numbers + 4
}
