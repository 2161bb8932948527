select i.seq, d.version, d.recipient_member, d.state
from inbox as i join deliveries as d on d.id = i.delivery
where i.seq = any ($1::bigint[])
order by i.seq
