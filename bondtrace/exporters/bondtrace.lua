-- SPDX-License-Identifier: GPL-2.0-or-later
-- Fields to filter by, out of the comments that bondtrace writes to frames (docs/wireshark.md), for Wireshark and tshark.
-- A comment that no pattern here knows is kept as bondtrace.other: nothing is lost.

local proto = Proto("bondtrace", "bondtrace")
local fields = {
    journey = ProtoField.uint32("bondtrace.journey", "Journey", base.DEC, nil, nil, "Number of the journey"),
    part = ProtoField.uint32("bondtrace.part", "Part", base.DEC, nil, nil, "Which of the journey's frames this is"),
    parts = ProtoField.uint32("bondtrace.parts", "Parts", base.DEC, nil, nil, "How many frames the journey has"),
    direction = ProtoField.string("bondtrace.direction", "Direction", base.ASCII, "rx, tx or shown"),
    dev = ProtoField.string("bondtrace.dev", "Device", base.ASCII, "skb->dev"),
    cpu = ProtoField.uint32("bondtrace.cpu", "CPU"),
    pass = ProtoField.uint32("bondtrace.pass", "Pass"),
    round = ProtoField.uint32("bondtrace.round", "Round"),
    tap = ProtoField.string("bondtrace.tap", "Tap", base.ASCII, "A tap that was offered the packet here"),
    inode = ProtoField.uint32("bondtrace.tap.inode", "Inode of the tap"),
    outcome = ProtoField.string("bondtrace.outcome", "Outcome", base.ASCII, "What a tap did with the packet"),
    captured = ProtoField.string("bondtrace.captured", "Captured by"),
    filtered = ProtoField.string("bondtrace.filtered", "Filtered by"),
    full = ProtoField.string("bondtrace.full", "No room at"),
    ignored = ProtoField.string("bondtrace.ignored", "Ignored by"),
    unseen = ProtoField.string("bondtrace.unseen", "Not seen by", base.ASCII, "A tap that was not offered the packet"),
    open = ProtoField.string("bondtrace.open", "Not known of", base.ASCII, "A tap that may have been offered the packet"),
    reason = ProtoField.string("bondtrace.reason", "Reason", base.ASCII, "Why a tap was not offered the packet"),
    doubt = ProtoField.bool("bondtrace.doubt", "Or it was lost"),
    handler = ProtoField.string("bondtrace.handler", "Handler", base.ASCII, "rx_handler, or VLAN handling"),
    verdict = ProtoField.string("bondtrace.verdict", "Verdict"),
    next = ProtoField.string("bondtrace.next", "Next device"),
    protocol = ProtoField.string("bondtrace.protocol", "Delivered to"),
    socket = ProtoField.string("bondtrace.socket", "Given to socket"),
    taken = ProtoField.string("bondtrace.socket.outcome", "Outcome of the socket"),
    drop = ProtoField.string("bondtrace.drop", "Dropped in", base.ASCII, "Function of the kernel"),
    why = ProtoField.string("bondtrace.drop.reason", "Reason of the drop"),
    ended = ProtoField.string("bondtrace.end", "End", base.ASCII, "How one of the packet's ways ended"),
    inferred = ProtoField.bool("bondtrace.inferred", "Inferred"),
    incomplete = ProtoField.bool("bondtrace.incomplete", "The record is incomplete"),
    other = ProtoField.string("bondtrace.other", "Also"),
}
proto.fields = fields

local frame_comment = Field.new("frame.comment")
local OUTCOMES = {
    captured = fields.captured,
    filtered = fields.filtered,
    full = fields.full,
    ignored = fields.ignored,
    unknown = false,
}
local VERDICTS = { CONSUMED = true, ANOTHER = true, EXACT = true, PASS = true, unknown = true }
local DOUBT = " (or it was lost)"

local function number(text)
    return math.min(tonumber(text) or 0, 4294967295)
end

-- Return the text without its ending, and whether it had that.
local function without(text, ending)
    if text:sub(-#ending) == ending then
        return text:sub(1, -#ending - 1), true
    end
    return text, false
end

local function journey(tree, text)
    local id, part, parts, how, dev, cpu, pass, round =
        text:match("^journey #(%d+), (%d+) of (%d+): (.-) on (.*), CPU (%d+), pass (%d+), round (%d+)$")
    if not id then
        return false
    end
    tree:add(fields.journey, number(id))
    tree:add(fields.part, number(part))
    tree:add(fields.parts, number(parts))
    tree:add(fields.direction, how == "received, shown" and "shown" or how)
    tree:add(fields.dev, dev)
    tree:add(fields.cpu, number(cpu))
    tree:add(fields.pass, number(pass))
    tree:add(fields.round, number(round))
    return true
end

local function tap(tree, text)
    local outcome, rest = text:match("^(%l+) by (.*)$")
    if not rest then
        outcome, rest = text:match("^(full): no room at (.*)$")
    end
    if not rest or OUTCOMES[outcome] == nil then
        return false
    end
    local name, inode = rest:match("^(.*%[(%d+)%])$")
    if not name then
        name, inode = rest:match("^(.*%[(%d+)%]) %(.*%)$")
    end
    name = name or rest
    tree:add(fields.tap, name)
    if inode then
        tree:add(fields.inode, number(inode))
    end
    tree:add(fields.outcome, outcome)
    if OUTCOMES[outcome] then
        tree:add(OUTCOMES[outcome], name)
    end
    return true
end

local function unseen(tree, text)
    local field = fields.unseen
    local rest = text:match("^not seen by (.*)$")
    if not rest then
        field, rest = fields.open, text:match("^not known of (.*)$")
    end
    if not rest then
        return false
    end
    local said, doubted = without(rest, DOUBT)
    local reason = said:match("%(([%l%-]+)%)$")
    tree:add(field, rest:match("^(.-%[%d+%])") or rest)
    if reason then
        tree:add(fields.reason, reason)
    end
    if doubted then
        tree:add(fields.doubt, true)
    end
    return true
end

local function handler(tree, text)
    local name, verdict, rest = text:match("^([^ ]+): (%a+)(.*)$")
    if not name or not VERDICTS[verdict] then
        return false
    end
    tree:add(fields.handler, name)
    tree:add(fields.verdict, verdict)
    local onward = rest:match("^, next ([^ ]+)")
    if onward then
        tree:add(fields.next, onward)
    end
    return true
end

local function drop(tree, text)
    local name, why = text:match("^dropped by the kernel in (.-): (.*)$")
    if not name then
        return false
    end
    tree:add(fields.drop, name)
    why = why:match("^([%u%d_]+)")
    if why then
        tree:add(fields.why, why)
    end
    return true
end

local function further(tree, text)
    local socket, taken = text:match("^given to (.*%[%d+%]): (.*)$")
    if not socket then
        socket, taken = text:match("^given to (.*): (.*)$")
    end
    if socket then
        tree:add(fields.socket, socket)
        tree:add(fields.taken, taken)
        return true
    end
    for pattern, field in pairs({ ["^delivered to (.*)$"] = fields.protocol, ["^end %(([%l%-]+)%): "] = fields.ended }) do
        local found = text:match(pattern)
        if found then
            tree:add(field, found)
            return true
        end
    end
    if text == "the record of this journey is incomplete" then
        tree:add(fields.incomplete, true)
        return true
    end
    return false
end

local KNOWN = { tap, unseen, drop, handler, further }

local function tell(tree, comment)
    local text, inferred = without(comment, " (inferred)")
    if inferred then
        tree:add(fields.inferred, true)
    end
    for _, known in ipairs(KNOWN) do
        if known(tree, text) then
            return
        end
    end
    tree:add(fields.other, text)
end

function proto.dissector(buffer, pinfo, tree)
    local comments = { frame_comment() }
    if #comments == 0 or not tostring(comments[1].value):find("^journey #%d+, ") then
        return -- of another program
    end
    local mine = tree:add(proto)
    for place, comment in ipairs(comments) do
        local text = tostring(comment.value)
        if place > 1 or not journey(mine, text) then
            tell(mine, text)
        end
    end
end

register_postdissector(proto)
