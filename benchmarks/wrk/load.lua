-- Sends each line of a file once: method, path, body, separated by tabs. The last line printed is the outcome as JSON.
local ffi = require("ffi")
ffi.cdef("int getpid(void); int kill(int, int);")
local SIGINT = 2

local requests, count, sent = {}, 0, 0
local pages = {} -- GET requests without effect, sent while the last responses are outstanding

function init(args)
   local headers = { ["Accept-Language"] = "en", ["Host"] = wrk.headers["Host"] }
   local form = { ["Accept-Language"] = "en", ["Host"] = wrk.headers["Host"],
                  ["Content-Type"] = "application/x-www-form-urlencoded", ["Sec-Fetch-Site"] = "same-origin" }
   for line in io.lines(args[1]) do
      local method, path, body = line:match("^(%u+)\t(%S+)\t(.*)$")
      count = count + 1
      pages[count] = wrk.format("GET", path, headers)
      requests[count] = method == "POST" and wrk.format(method, path, form, body) or pages[count]
   end
end

function request()
   sent = sent + 1
   if sent <= count then
      return requests[sent]
   end
   if sent == count + 1 then
      ffi.C.kill(ffi.C.getpid(), SIGINT) -- otherwise wrk runs until its time limit
   end
   return pages[(sent - 1) % count + 1]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '\n{"items": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
      summary.requests, summary.duration / 1e6,
      errors.connect + errors.read + errors.write + errors.timeout + errors.status,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
