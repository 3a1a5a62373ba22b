-- A small game, to be recorded: entities that are born, move, collide in a grid and die; events with text; a heads-up
-- display. 120 frames, fixed seed. os.clock ends a frame for the recorder.
local seed = 12345
local function random(limit)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed % limit + 1
end

local kinds = { "wolf", "archer", "slime", "arrow", "coin" }
local entities = {}
local nextId = 0

local function spawn()
  nextId = nextId + 1
  entities[nextId] = {
    id = nextId,
    kind = kinds[random(#kinds)],
    position = { x = random(1000), y = random(1000) },
    velocity = { x = random(9) - 5, y = random(9) - 5 },
    health = 20 + random(80),
    inventory = {},
  }
end

local function cellOf(position) return (position.x // 50) .. ":" .. (position.y // 50) end

local function step(frame)
  local grid, events = {}, {}
  for _ = 1, 10 do spawn() end
  for id, entity in pairs(entities) do
    local position = {
      x = (entity.position.x + entity.velocity.x) % 1000,
      y = (entity.position.y + entity.velocity.y) % 1000,
    }
    entity.position = position
    local key = cellOf(position)
    local cell = grid[key]
    if not cell then
      cell = {}
      grid[key] = cell
    end
    for _, other in ipairs(cell) do
      if other.kind ~= entity.kind and random(4) == 1 then
        other.health = other.health - 10
        events[#events + 1] = { source = entity, target = other, text = entity.kind .. " hits " .. other.kind .. " #" .. other.id }
        if random(8) == 1 then entity.inventory[#entity.inventory + 1] = "trophy of " .. other.id end
      end
    end
    cell[#cell + 1] = entity
    if entity.health <= 0 then entities[id] = nil end
  end
  local lines = {}
  for index, event in ipairs(events) do
    if index <= 20 then lines[#lines + 1] = string.format("[%05d] %s (%d left)", frame, event.text, event.target.health) end
  end
  return table.concat(lines, "\n")
end

for _ = 1, 500 do spawn() end
local length = 0
for frame = 1, 120 do
  length = length + #step(frame)
  os.clock()
end
local count = 0
for _ in pairs(entities) do count = count + 1 end
print(string.format("%d entities, %d characters", count, length))
