select peer, count(*), min(since)
from queue
where state = 'waiting' and kind = 'publish' and peer is not null
group by peer
order by peer
