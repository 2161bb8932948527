select id from anchors where root = $1
