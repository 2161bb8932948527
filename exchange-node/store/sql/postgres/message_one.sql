select m.seq, m.envelope, m.member from messages as m
where m.id = $6
  and ($5::text is null or m.member = $5)
  and m.seq > $1
  and ($3::text is null or m.process = $3)
  and ($4::text is null
    or exists (select 1 from deliveries as d where d.message = m.id and d.phase = $4))
order by m.seq
limit $2
