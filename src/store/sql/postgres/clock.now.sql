-- clock.now
SELECT now() AS now;
