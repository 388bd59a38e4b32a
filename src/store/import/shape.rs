//! What the columns of a file mean: which one is the date, whose row it is, where the close stands. What the header
//! tells is taken, and said where something else may have been meant; what it does not tell is refused with the
//! option that would settle it.

use super::{Asked, ImportError, Kind, SymbolFrom};
use crate::store::columns::{self, ADJUSTED_CLOSE, DIVIDEND, SPLIT_FACTOR};
use crate::store::files::Keys;
use crate::store::rows;
use crate::store::text::Head;

/// The columns of bars beside date and symbol, in the order of a table of them. Those of the first two must be there.
pub(super) const BAR_COLUMNS: [&str; 9] =
    ["open", "close", "high", "low", ADJUSTED_CLOSE, "volume", DIVIDEND, SPLIT_FACTOR, EXCHANGE];

/// Those of which most cells say nothing, and need not.
pub(super) const EVENTS: [&str; 2] = [DIVIDEND, SPLIT_FACTOR];

/// The one column of bars that holds texts.
pub(super) const EXCHANGE: &str = "exchange";

/// Columns that tables are partitioned by, made of the dates.
pub(super) const PARTS: [&str; 3] = ["year", "month", "year_month"];

/// Columns of a file by their positions, as the batches of the file have them.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) date: usize,
    /// Rows of each batch are made for each of these.
    pub(super) groups: Vec<Group>,
    /// Rows are taken only if these columns hold these texts.
    pub(super) only: Vec<(usize, String)>,
    /// What was told by the header, for the one who asked.
    pub(super) notes: Vec<String>,
}

/// The columns that belong to one symbol, or to the one that a column names.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) symbol: Symbol,
    /// What they are, and where.
    pub(super) columns: Vec<(String, usize)>,
}

#[derive(Debug)]
pub(super) enum Symbol {
    /// It stands in this column.
    At(usize),
    /// Every row has this one.
    Is(String),
}

/// The header of one file, with what the folders above it say behind it.
struct Header<'a> {
    file: &'a str,
    heads: Vec<Head>,
    asked: &'a Asked,
    notes: Vec<String>,
}

impl Shape {
    /// Reads a header. `file` is the name of the file; `keys` are sorted, and stand behind the columns of the file.
    pub(super) fn of(
        file: &str,
        heads: &[Head],
        keys: &[(&String, &Option<String>)],
        asked: &Asked,
    ) -> Result<Self, ImportError> {
        let keys = keys.iter().map(|(key, _)| Head { name: (*key).clone(), symbol: None });
        let heads: Vec<Head> = heads.iter().cloned().chain(keys).collect();
        let mut header = Header { file, heads, asked, notes: Vec::new() };
        let all: Vec<usize> = (0..header.heads.len()).collect();
        let date = header.required("date", &all, &[])?;
        let groups = if header.heads.iter().any(|head| head.symbol.is_some()) {
            header.beside_each_other(date)?
        } else if let Some(field) = &asked.wide {
            header.wide(date, &field.clone())?
        } else {
            vec![header.long(date)?]
        };
        let only = asked.only.iter().map(|(name, text)| Ok((header.named(name, "only")?, text.clone())));
        let only = only.collect::<Result<_, ImportError>>()?;
        Ok(Self { date, groups, only, notes: header.notes })
    }
}

impl Header<'_> {
    /// One symbol a row.
    fn long(&mut self, date: usize) -> Result<Group, ImportError> {
        let all: Vec<usize> = (0..self.heads.len()).collect();
        let column = self.find("symbol", &all, &[date])?;
        let symbol = match (&self.asked.symbol, column) {
            (SymbolFrom::Column, Some(at)) => Symbol::At(at),
            (SymbolFrom::Column, None) => {
                return Err(self.no_column("symbol", &all, "; say --symbol AAPL, or --symbol-from-name"));
            }
            (from, column) => {
                if let Some(at) = column.filter(|&at| columns::means(&self.heads[at].name, "symbol")) {
                    self.notes.push(format!("the column '{}' is not used", self.heads[at].name));
                }
                let symbol = match from {
                    SymbolFrom::Name => symbol_of(self.file),
                    SymbolFrom::Is(symbol) => symbol.clone(),
                    SymbolFrom::Column => String::new(),
                };
                self.notes.push(match from {
                    SymbolFrom::Name => "the symbol is the name of the file".to_owned(),
                    _ => format!("the symbol is {symbol}"),
                });
                Symbol::Is(symbol)
            }
        };
        let mut taken = vec![date];
        if let Symbol::At(at) = symbol {
            taken.push(at);
        }
        let columns = match self.asked.kind {
            Kind::Bars => self.bars(&all, &taken)?,
            Kind::Signals => self.signals(&all, &taken)?,
        };
        Ok(Group { symbol, columns })
    }

    /// The columns of bars among some of the file.
    fn bars(&mut self, among: &[usize], taken: &[usize]) -> Result<Vec<(String, usize)>, ImportError> {
        let mut found = Vec::new();
        for name in BAR_COLUMNS {
            if let Some(at) = self.find(name, among, taken)? {
                found.push((name.to_owned(), at));
            } else if matches!(name, "open" | "close") {
                return Err(self.no_bars(name, among, taken, &found));
            }
        }
        for &at in among {
            let name = &self.heads[at].name;
            let used = taken.contains(&at) || found.iter().any(|(_, used)| *used == at);
            if !used && columns::resembles_adjusted_close(name) && !self.left_out(ADJUSTED_CLOSE) {
                self.notes.push(format!(
                    "the column '{name}' looks like an adjusted close and is not used (--map adj_close='{name}')"
                ));
            }
            if !used && columns::resembles_action(name) {
                self.notes.push(format!(
                    "the column '{name}' looks like dividends or splits and is not used; where the prices are not adjusted for \
                     them, say --map {DIVIDEND}='{name}' or {SPLIT_FACTOR}='{name}'"
                ));
            }
        }
        Ok(found)
    }

    /// Why a file is none of bars.
    fn no_bars(
        &self,
        name: &'static str,
        among: &[usize],
        taken: &[usize],
        found: &[(String, usize)],
    ) -> ImportError {
        let close = found.iter().find(|(known, _)| known == "close").map(|(_, at)| *at);
        let close = close.or_else(|| {
            let close = |&at: &usize| columns::means(&self.heads[at].name, "close");
            among.iter().copied().find(close)
        });
        let hint = match close {
            Some(at) => format!(
                "; if each open may count as the close of its day, say --map open='{}'",
                self.heads[at].name
            ),
            None if among.len() > taken.len() && self.asked.symbol == SymbolFrom::Column => {
                format!(
                    "; say which one it is with --map {name}=…, or, if its columns are symbols, --wide close"
                )
            }
            None => format!("; say which one it is with --map {name}=…"),
        };
        self.no_column(name, among, &hint)
    }

    /// Every other column of the file; which of them hold numbers is seen in their cells.
    fn signals(&mut self, among: &[usize], taken: &[usize]) -> Result<Vec<(String, usize)>, ImportError> {
        let mut found: Vec<(String, usize)> = Vec::new();
        for (column, name) in &self.asked.map {
            if !name.is_empty() && column != "date" && column != "symbol" {
                found.push((column.clone(), self.named(name, "map")?));
            }
        }
        for &at in among {
            let name = self.heads[at].name.trim().to_owned();
            let name = name.as_str();
            let used = taken.contains(&at) || found.iter().any(|(_, used)| *used == at);
            // What pandas notes of rows without an index of their own.
            if used || name.is_empty() || name.starts_with("__index_level_") || self.left_out(name) {
                continue;
            }
            if PARTS.iter().any(|part| name.eq_ignore_ascii_case(part)) {
                self.notes
                    .push(format!("the column '{name}' is not taken: tables make their own of the dates"));
                continue;
            }
            if found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return Err(self.unclear(format!("has two columns '{name}'")));
            }
            found.push((name.to_owned(), at));
        }
        if found.is_empty() {
            return Err(self.unclear("has no column beside date and symbol".to_owned()));
        }
        Ok(found)
    }

    /// A column for each symbol, whose cells are all of one kind.
    fn wide(&mut self, date: usize, field: &str) -> Result<Vec<Group>, ImportError> {
        let mut groups = Vec::new();
        for (at, head) in self.heads.iter().enumerate() {
            if at == date || head.name.is_empty() {
                continue;
            }
            let columns = match self.asked.kind {
                Kind::Signals => vec![(field.to_owned(), at)],
                Kind::Bars if field == "close" => vec![("open".to_owned(), at), ("close".to_owned(), at)],
                Kind::Bars => {
                    return Err(ImportError::Usage(
                        "bars of a wide table are closes: --wide close".to_owned(),
                    ));
                }
            };
            groups.push(Group { symbol: Symbol::Is(head.name.clone()), columns });
        }
        if groups.is_empty() {
            return Err(self.unclear("has no column beside its dates".to_owned()));
        }
        self.notes.push(format!("{} symbols beside each other, {field} in each cell", groups.len()));
        if self.asked.kind == Kind::Bars {
            self.notes.push("each open is the close of its day".to_owned());
        }
        Ok(groups)
    }

    /// A table for each symbol beside each other: the header says which columns are whose.
    fn beside_each_other(&mut self, date: usize) -> Result<Vec<Group>, ImportError> {
        let mut symbols: Vec<String> = Vec::new();
        for symbol in self.heads.iter().filter_map(|head| head.symbol.as_ref()) {
            if !symbols.contains(symbol) {
                symbols.push(symbol.clone());
            }
        }
        let renamed = match &self.asked.symbol {
            SymbolFrom::Column => None,
            _ if symbols.len() > 1 => {
                let message = format!("names {} symbols in its header; leave out --symbol", symbols.len());
                return Err(self.unclear(message));
            }
            SymbolFrom::Name => Some(symbol_of(self.file)),
            SymbolFrom::Is(symbol) => Some(symbol.clone()),
        };
        let mut groups = Vec::new();
        for symbol in &symbols {
            let among: Vec<usize> =
                (0..self.heads.len()).filter(|&at| self.heads[at].symbol.as_ref() == Some(symbol)).collect();
            let columns = match self.asked.kind {
                Kind::Bars => self.bars(&among, &[date])?,
                Kind::Signals => self.signals(&among, &[date])?,
            };
            let symbol = renamed.clone().unwrap_or_else(|| symbol.clone());
            groups.push(Group { symbol: Symbol::Is(symbol), columns });
        }
        let (shown, more) = (symbols.iter().take(3), if symbols.len() > 3 { ", …" } else { "" });
        let shown = rows::names_of(shown.map(String::as_str));
        self.notes.push(format!("the header names fields and symbols ({shown}{more})"));
        Ok(groups)
    }

    /// Whether a column is not wanted by name: `--map volume=`.
    fn left_out(&self, column: &str) -> bool {
        let none = |(name, of): &(String, String)| name.eq_ignore_ascii_case(column) && of.is_empty();
        self.asked.map.iter().any(none)
    }

    /// The column with this name.
    fn named(&self, name: &str, option: &str) -> Result<usize, ImportError> {
        let at = self.heads.iter().position(|head| head.name.trim().eq_ignore_ascii_case(name.trim()));
        at.ok_or_else(|| {
            let all: Vec<usize> = (0..self.heads.len()).collect();
            self.unclear(format!("has no column '{name}' (--{option}); it has {}", self.names(&all)))
        })
    }

    fn required(
        &mut self,
        column: &'static str,
        among: &[usize],
        taken: &[usize],
    ) -> Result<usize, ImportError> {
        let found = self.find(column, among, taken)?;
        found.ok_or_else(|| {
            self.no_column(column, among, &format!("; say which one it is with --map {column}=…"))
        })
    }

    /// Where a column is: as asked for, under its own name, under another usual one, or under one that may mean it if
    /// nothing else does.
    fn find(
        &mut self,
        column: &'static str,
        among: &[usize],
        taken: &[usize],
    ) -> Result<Option<usize>, ImportError> {
        if self.left_out(column) {
            return Ok(None);
        }
        if let Some((_, name)) = self.asked.map.iter().find(|(known, _)| known == column) {
            let own = |&&at: &&usize| self.heads[at].name.trim().eq_ignore_ascii_case(name.trim());
            return match among.iter().find(own) {
                Some(&at) => Ok(Some(at)),
                None => self.named(name, "map").map(Some),
            };
        }
        let free: Vec<usize> = among.iter().copied().filter(|at| !taken.contains(at)).collect();
        let by = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
            free.iter().copied().filter(|&at| test(self.heads[at].name.trim())).collect()
        };
        let own = by(&|name| name.eq_ignore_ascii_case(column));
        let usual = if own.is_empty() { by(&|name| columns::means(name, column)) } else { own };
        match usual[..] {
            [at] => return Ok(Some(at)),
            [_, _, ..] => return Err(self.several(column, &usual)),
            [] => {}
        }
        let perhaps = by(&|name| columns::may_mean(name, column));
        match perhaps[..] {
            [] => Ok(None),
            [at] => {
                let name = &self.heads[at].name;
                let name = if name.is_empty() { "without a name".to_owned() } else { format!("'{name}'") };
                self.notes.push(format!("the column {name} is the {column}"));
                Ok(Some(at))
            }
            _ => Err(self.several(column, &perhaps)),
        }
    }

    fn several(&self, column: &'static str, found: &[usize]) -> ImportError {
        let names = self.names(found);
        self.unclear(format!("has several columns that may be the {column} ({names}); say --map {column}=…"))
    }

    fn no_column(&self, column: &'static str, among: &[usize], hint: &str) -> ImportError {
        ImportError::NoColumn {
            file: self.file.to_owned(),
            column,
            found: self.names(among),
            hint: hint.to_owned(),
        }
    }

    fn names(&self, among: &[usize]) -> String {
        const SHOWN: usize = 20;
        let shown = among.iter().take(SHOWN).map(|&at| self.heads[at].name.as_str());
        let more = if among.len() > SHOWN { ", …" } else { "" };
        format!("{}{more}", rows::names_of(shown))
    }

    fn unclear(&self, message: String) -> ImportError {
        ImportError::Unclear { file: self.file.to_owned(), message }
    }
}

/// What a file is called, without the ends that say what is in it.
fn symbol_of(file: &str) -> String {
    let mut name = file;
    for end in [".gz", ".csv", ".txt", ".tsv", ".parquet"] {
        let cut = name.len().saturating_sub(end.len());
        if cut > 0 && name.is_char_boundary(cut) && name[cut..].eq_ignore_ascii_case(end) {
            name = &name[..cut];
        }
    }
    name.to_owned()
}

/// The columns that folders name, in the order in which they stand behind those of a file.
pub(super) fn sorted(keys: &Keys) -> Vec<(&String, &Option<String>)> {
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort();
    keys
}
