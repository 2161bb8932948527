-- Objects without their bytes, with the members of this node that they may concern.
select e.seq, e.id, e.event, e.node, e.at, e.stored_at, m.id, m.member, d.recipient_member
from evidence as e
left join messages as m on m.id = e.message
left join deliveries as d on d.id = substr(e.deliveries, 1, 16)
where e.seq > $1 and e.seq <= $2
order by e.seq
limit $3
