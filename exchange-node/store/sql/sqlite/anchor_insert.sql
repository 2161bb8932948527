insert into anchors (root, at, token) values ($1, $2, $3)
on conflict (root) do nothing
