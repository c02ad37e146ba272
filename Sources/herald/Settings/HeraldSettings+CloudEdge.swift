import HeraldCloud
import HeraldSockets

/// What stands between a node's sockets and its clients: TLS, compression, proxies.
extension SettingTable {
    static let cloudEdge: [Setting] = [
        .path(
            "cloud.tls_certificate_file",
            \.cloud.tlsCertificateFile,
            "TLS: the node's certificate chain, PEM."
        ),
        .path("cloud.tls_key_file", \.cloud.tlsKeyFile, "TLS: the certificate's private key, PEM."),
        .flag("cloud.compression", \.cloud.compression, "Whether messages may be compressed."),
        .list(
            "cloud.proxy_protocol_peers",
            \.cloud.proxyProtocolPeers,
            form: "list of addresses or networks",
            "Whose connections begin with a PROXY header."
        ),
        .list(
            "cloud.forwarded_for_peers",
            \.cloud.forwardedForPeers,
            form: "list of addresses or networks",
            "Whose X-Forwarded-For is believed."
        ),
    ]
}

extension HeraldSettings.Cloud {
    /// Gives a node its edge.
    ///
    /// Throws `SettingsError` when only half of TLS is given.
    func setEdge(of configuration: inout CloudConfiguration) throws(SettingsError) {
        configuration.deflate = compression ? DeflateSettings() : nil
        configuration.proxies.proxyProtocolPeers = proxyProtocolPeers
        configuration.proxies.forwardedForPeers = forwardedForPeers
        switch (tlsCertificateFile, tlsKeyFile) {
        case (nil, nil): break
        case (let certificate?, let key?):
            configuration.tls = TLSSettings(certificateFile: certificate, keyFile: key)
        case (_?, nil):
            throw SettingsError(place: "cloud.tls_key_file", reason: "is missing beside the certificate")
        case (nil, _?):
            throw SettingsError(place: "cloud.tls_certificate_file", reason: "is missing beside the key")
        }
    }
}
