select coalesce(i.seq, d.seq) as seq, d.version, d.recipient_member, d.state
from deliveries as d left join inbox as i on i.delivery = d.id
where d.id = $1 and d.recipient_member = $2
