-- How far each table goes.
select coalesce((select max(seq) from messages), 0) as messages,
  coalesce((select max(seq) from evidence), 0) as objects,
  coalesce((select max(id) from anchors), 0) as anchors,
  coalesce((select max(seq) from events), 0) as events,
  coalesce((select max(id) from queue), 0) as queue
