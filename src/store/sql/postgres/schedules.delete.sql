-- schedules.delete
DELETE FROM backtest.schedules WHERE name = $1 RETURNING name;
