-- Publishes a message to a node (hop.lua says how).
--
-- KEYS[1]  herald:hop:{cloud-1}
-- KEYS[2]  herald:hop:{cloud-1}:number
-- KEYS[3]  herald:to:{cloud-1}
-- ARGV     hop.lua's
-- Reply    how many subscribers the channel had

return publish(KEYS[1], KEYS[2], KEYS[3])
