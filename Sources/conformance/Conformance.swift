import Glibc
import HeraldSockets

/// An echo server for public conformance suites: the production engine with limits wide enough for them.
///
///     conformance [--port N] [--deflate [--takeover]] [--tls CERTIFICATE KEY]
///
/// It listens on 127.0.0.1 only, says on standard output where, and serves until it is killed. Nothing here judges
/// frames: what a suite finds, it finds in HeraldSockets. Autobahn's suite is for Python 2.7:
///
///     pip install autobahntestsuite==0.8.2
///     echo '{"outdir":"reports","servers":[{"url":"ws://127.0.0.1:9001"}],"cases":["*"],"exclude-cases":[],
///         "exclude-agent-cases":{}}' > fuzzingclient.json
///     conformance --port 9001 --deflate & wstest -m fuzzingclient -s fuzzingclient.json
@main
enum Conformance {
    static func main() async {
        let options: Options
        switch Options.parse(CommandLine.arguments.dropFirst()) {
        case .success(let parsed): options = parsed
        case .failure(let error):
            say("conformance: \(error.description)\n", to: STDERR_FILENO)
            exit(64)
        }
        let engine = SocketEngine(options.configuration) { _ in EchoHandler() }
        do {
            try engine.start()
        } catch {
            say("conformance: \(error)\n", to: STDERR_FILENO)
            exit(71)
        }
        say("\(options.tls == nil ? "ws" : "wss")://127.0.0.1:\(engine.port)\n", to: STDOUT_FILENO)
        // The loops serve until a signal ends the process.
        while true { pause() }
    }

    private static func say(_ line: String, to descriptor: Int32) {
        let bytes = Array(line.utf8)
        _ = write(descriptor, bytes, bytes.count)
    }
}

/// What the command line asks for.
struct Options {
    var port = 0
    var deflate: DeflateSettings?
    var tls: TLSSettings?

    /// What is wrong with the command line.
    struct Failure: Error {
        var description: String
    }

    static func parse(_ arguments: some Sequence<String>) -> Result<Options, Failure> {
        var options = Options()
        var rest = arguments.makeIterator()
        while let argument = rest.next() {
            switch argument {
            case "--port":
                guard let value = rest.next(), let port = UInt16(value) else {
                    return .failure(Failure(description: "--port wants a number from 0 to 65535"))
                }
                options.port = Int(port)
            case "--deflate":
                options.deflate = DeflateSettings()
                options.deflate?.payloadBytesMin = 0
            case "--takeover":
                guard options.deflate != nil else {
                    return .failure(Failure(description: "--takeover goes behind --deflate"))
                }
                options.deflate?.serverTakesOverContext = true
                options.deflate?.clientTakesOverContext = true
            case "--tls":
                guard let certificate = rest.next(), let key = rest.next() else {
                    return .failure(
                        Failure(description: "--tls wants two files, the certificate's and the key's")
                    )
                }
                options.tls = TLSSettings(certificateFile: certificate, keyFile: key)
            default:
                return .failure(Failure(description: "unknown argument \(argument)"))
            }
        }
        return .success(options)
    }

    /// The suites send messages of 16 MiB and a thousand pings at once, and wait long for slow answers.
    var configuration: SocketEngineConfiguration {
        var limits = SocketLimits()
        limits.messageBytesMax = 16 << 20
        limits.overheadBytesMax = 64 << 20
        limits.sendQueueBytesMax = 128 << 20
        limits.nodeQueueBytesMax = 1 << 30
        limits.pongBytesMax = 65_535
        limits.pingInterval = .seconds(3600)
        limits.closeTimeout = .seconds(30)
        return SocketEngineConfiguration(
            host: "127.0.0.1",
            port: port,
            limits: limits,
            deflate: deflate,
            tls: tls
        )
    }
}
