select i.seq, d.version, d.recipient_member, d.state
from inbox as i join deliveries as d on d.id = i.delivery
where i.member = $1 and i.seq > $2
order by i.seq
limit $3
