//! The usual names of the columns of bars: what a header means, whichever vendor wrote it.

/// The adjusted close: the close as it would have been without the splits and dividends since.
pub(super) const ADJUSTED_CLOSE: &str = "adj_close";

/// Cash a share on its ex-date.
pub(super) const DIVIDEND: &str = "dividend";

/// New shares for an old one, on their first day.
pub(super) const SPLIT_FACTOR: &str = "split_factor";

/// A name as it is compared: letters and digits in lower case, without a number in front (`1. open`).
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('\u{feff}');
    let name = match name.split_once(". ") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    };
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Other names of a column, as they are compared.
fn aliases(column: &str) -> &'static [&'static str] {
    match column {
        "date" => &[
            "date",
            "tradedate",
            "traddt",
            "tradingdate",
            "tradingday",
            "datetime",
            "timestamp",
            "obsdate",
            "observationdate",
        ],
        "symbol" => &["symbol", "ticker", "tickersymbol", "tckrsymb", "tic", "sym"],
        "open" => &["open", "openprice", "opnpric"],
        "high" => &["high", "highprice", "hghpric"],
        "low" => &["low", "lowprice", "lwpric"],
        "close" => &["close", "closeprice", "closelast", "clspric"],
        "volume" => &["volume", "vol", "tottrdqty", "totaltradedquantity", "ttltradgvol"],
        ADJUSTED_CLOSE => &[
            "adjclose",
            "adjustedclose",
            "closeadj",
            "closeadjusted",
            "adjcloseprice",
            "adjustedcloseprice",
            "adjustedclosingprice",
        ],
        // Of vendors whose prices beside them are as they were quoted.
        DIVIDEND => &["dividend", "exdividend", "dividendamount", "divcash", "cashdividend"],
        SPLIT_FACTOR => &["splitfactor", "splitratio", "splitcoefficient"],
        _ => &[],
    }
}

/// Whether a header means a column: by its name in any case, or by another usual one.
pub(super) fn means(header: &str, column: &str) -> bool {
    header.eq_ignore_ascii_case(column) || {
        let aliases = aliases(column);
        !aliases.is_empty() && aliases.contains(&plain(header).as_str())
    }
}

/// Which of the headers means a column: its own name goes before others.
pub(super) fn position<'a>(headers: impl Iterator<Item = &'a str> + Clone, column: &str) -> Option<usize> {
    let own = headers.clone().position(|header| header.eq_ignore_ascii_case(column));
    own.or_else(|| headers.enumerate().find(|(_, header)| means(header, column)).map(|(at, _)| at))
}

/// Whether a header means a column if nothing else in its table does: names that people give to this and to other
/// things.
pub(super) fn may_mean(header: &str, column: &str) -> bool {
    let plain = plain(header);
    let names: &[&str] = match column {
        "date" => &["", "day", "time", "index", "unnamed0", "indexlevel0"],
        "symbol" => &[
            "name",
            "stock",
            "stocksymbol",
            "stockname",
            "stockcode",
            "actsymbol",
            "company",
            "instrument",
            "security",
            "asset",
            "assetid",
            "index",
            "code",
            "isin",
            "permno",
            "secid",
        ],
        "close" => &["price", "last", "lastprice", "value"],
        _ => &[],
    };
    names.contains(&plain.as_str())
}

/// Whether a header looks like that of an adjusted close, known or not.
pub(super) fn resembles_adjusted_close(header: &str) -> bool {
    let plain = plain(header);
    let others = ["open", "high", "low", "vol", "factor", "unadj"];
    plain.contains("adj") && !others.iter().any(|part| plain.contains(part))
}

/// Whether a header looks like that of dividends or splits and means neither: `Dividends` and `Stock Splits` of yfinance, for
/// example, whose prices are adjusted for splits at least.
pub(super) fn resembles_action(header: &str) -> bool {
    let name = plain(header);
    let looks = name.contains("dividend") || name.contains("split");
    looks && !name.contains("yield") && !means(header, DIVIDEND) && !means(header, SPLIT_FACTOR)
}
