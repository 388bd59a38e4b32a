-- schedules.delete
DELETE FROM schedules WHERE name = :name;
