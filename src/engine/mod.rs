//! The arithmetic of a backtest.
