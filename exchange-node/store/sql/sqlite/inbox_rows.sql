select i.seq, d.version, d.recipient_member, d.state
from inbox as i join deliveries as d on d.id = i.delivery
where i.seq in (select j.value->>0 from json_each($1) as j)
order by i.seq
