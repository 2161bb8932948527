select m.seq, m.envelope, m.member from messages as m
where m.member = $5 and m.seq > $1
  and ($3 is null or m.process = $3)
  and ($4 is null
    or exists (select 1 from deliveries as d where d.message = m.id and d.phase = $4))
order by m.seq
limit $2
