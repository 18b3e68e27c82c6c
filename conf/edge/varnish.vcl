# varnish.vcl - Varnish 6 or 7 as an edge of a spillway origin.
#
#     varnishd -a :80 -f /etc/varnish/varnish.vcl -s default,4G
#
# A crowd that reads one growing segment costs the origin a single GET: Varnish streams what it fetches to
# everyone who waits for it, and forgets what was cut off.
vcl 4.1;

import std;

backend origin {
	.host = "127.0.0.1";
	.port = "3000";
	# A GET may wait at the origin: for a segment that is about to begin (hold), for a playlist (_HLS_msn).
	.first_byte_timeout = 30s;
	# A growing segment may be silent as long as its encoder (ingest_idle, 60s by default).
	.between_bytes_timeout = 65s;
}

# Who may take something out of the cache before its time: curl -X PURGE http://edge/live/segment.m4s
acl operators {
	"localhost";
}

sub vcl_recv {
	if (req.method == "PURGE") {
		if (!client.ip ~ operators) {
			return (synth(403));
		}
		return (purge);
	}
	if (req.method == "OPTIONS") {
		return (pass);
	}
	if (req.method != "GET" && req.method != "HEAD") {
		return (synth(405)); # uploads go to the origin itself
	}
	# At the origin a query is no part of a name, but for the blocking reload of playlists.
	if (req.url !~ "[?&]_HLS_") {
		set req.url = regsub(req.url, "\?.*$", "");
	}
	unset req.http.Cookie;
	return (hash);
}

sub vcl_backend_response {
	if (beresp.status >= 400) {
		# Who asks early is told "404"; a moment later the segment is there.
		set beresp.uncacheable = true;
		set beresp.ttl = 1s;
		return (deliver);
	}
	if (beresp.http.Cache-Control == "no-store" && !beresp.http.Accept-Ranges) {
		# Its encoder vanished: the origin is going to cut the reply. When a fetch fails that early, Varnish 7.1
		# may send what it has with a Content-Length, as if it were whole. So nobody gets to see it: 503.
		return (abandon);
	}
	if (bereq.url ~ "\.(m3u8|mpd)($|\?)") {
		set beresp.grace = 0s; # a player must not get an old playlist first
	}
}
