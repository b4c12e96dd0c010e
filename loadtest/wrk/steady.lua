-- The requests of the scenario `steady` at its rate, by wrk. From the checkout, with a server at 127.0.0.1:8080:
--   loadtest requests --out target/requests.jsonl
--   RATE=2000 THREADS=2 REQUESTS=target/requests.jsonl wrk --latency -t2 -c64 -d30s -s loadtest/wrk/steady.lua http://127.0.0.1:8080
-- wrk waits for an answer before it sends again on a connection, so what it calls latency counts from the sending:
-- compare it with `bid, from the sending`.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } loadtest_time;
  int clock_gettime(int clock, loadtest_time *time);
]]

local function now_ms()
  local time = ffi.new("loadtest_time")
  ffi.C.clock_gettime(1, time)
  return tonumber(time.seconds) * 1e3 + tonumber(time.nanoseconds) / 1e6
end

-- Threads have states of their own, which are asked when all is over.
local threads_made = {}

function setup(thread)
  thread:set("number", #threads_made)
  threads_made[#threads_made + 1] = thread
end

function init(args)
  local threads = tonumber(os.getenv("THREADS") or "2")
  local rate = tonumber(os.getenv("RATE") or "2000")
  gap_ms = 1e3 * threads / rate
  next_ms = nil
  requests, at = {}, 0
  local line_number = 0
  local headers = { ["Content-Type"] = "application/json", ["x-openrtb-version"] = "2.6" }
  for line in io.lines(os.getenv("REQUESTS") or "target/requests.jsonl") do
    -- Each thread sends its own share of the lines, in their order.
    if line_number % threads == number then
      requests[#requests + 1] = wrk.format("POST", "/openrtb2/demo", headers, line)
    end
    line_number = line_number + 1
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- Milliseconds until the next planned time of this thread, whichever connection is free for it.
function delay()
  local now = now_ms()
  if not next_ms then next_ms = now end
  next_ms = next_ms + gap_ms
  return math.max(0, math.floor(next_ms - now + 0.5))
end

bids, others = 0, 0

function response(status)
  if status == 200 then
    bids = bids + 1
  elseif status ~= 204 then
    others = others + 1
  end
end

function done(summary, latency)
  local good, odd = 0, 0
  for _, thread in ipairs(threads_made) do
    good = good + thread:get("bids")
    odd = odd + thread:get("others")
  end
  local seconds = summary.duration / 1e6
  io.write(string.format("answered  %d, %.1f/s; with a bid: %d; neither 200 nor 204: %d\n", summary.requests,
    summary.requests / seconds, good, odd))
  io.write("ms       ")
  for _, p in ipairs({ 50, 90, 99, 99.9, 99.99 }) do
    io.write(string.format("  p%g %.3f", p, latency:percentile(p) / 1e3))
  end
  io.write(string.format("  max %.3f\n", latency.max / 1e3))
end
