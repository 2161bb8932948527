select seq from inbox
where member = $1 and seq > $2 and visible_at <= $4
order by seq
limit $3
for update skip locked
