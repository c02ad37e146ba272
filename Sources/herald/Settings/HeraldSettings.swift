import HeraldCloud
import HeraldCore
import HeraldLogic
import HeraldRedis
import HeraldSockets

/// Everything that can be set, with its default. `SettingTable` gives each its name, bounds and words.
struct HeraldSettings: Sendable {
    var redis = Redis()
    var log = Log()
    var logic = Logic()
    var cloud = Cloud()
    var presence = PresenceRules()
    var webhooks = Webhooks()
    var jobs = JobSettings()
    var inbox = InboxRetention()
    /// Bounds of the words; logic and cloud share them.
    var limits = Limits()
    var http = HTTPLimits()
    var sockets = SocketLimits()

    struct Redis: Sendable {
        var url = "redis://127.0.0.1:6379"
        var username = ""
        var password = ""
        var prefix = "herald:"
        var link = RedisLinkLimits()
        var tls = RedisTLS()
    }

    struct Log: Sendable {
        var level = "info"
    }

    struct Logic: Sendable {
        var name = "logic-1"
        var host = "127.0.0.1"
        var port = 8080
        var apiKey = ""
    }

    struct Webhooks: Sendable {
        var url = ""
        var secret = ""
        var allowsPrivate = false
        var giveUpAfter: Duration = .seconds(86_400)
    }

    struct Cloud: Sendable {
        var id = "cloud-1"
        var host = "127.0.0.1"
        var port = 9001
        var url = ""
        var region = ""
        var weight = 1
        var loops = 1
        var auth = "none"
        var allowedOrigins: [String] = []
        var bindPatience: Duration = .seconds(5)
        var drainDuration: Duration = .seconds(10)
        var tlsCertificateFile: String?
        var tlsKeyFile: String?
        var compression = false
        var proxyProtocolPeers: [String] = []
        var forwardedForPeers: [String] = []
    }
}
