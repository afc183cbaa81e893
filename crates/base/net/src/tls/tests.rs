use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::time::Duration;
use sward_diagnosis::Diagnose as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct World {
    roots: Roots,
    server: ServerIdentity,
    client: ClientIdentity,
}

fn world(client: impl FnOnce(&mut CertificateParams)) -> World {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
    let server_key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("a name")
        .signed_by(&server_key, &ca)
        .expect("a server certificate");
    let client_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    client(&mut params);
    // The client's certificate is signed by itself: no chain is looked for.
    let certificate = params.self_signed(&client_key).expect("a certificate");
    World {
        roots: Roots::from_pem(ca.pem().as_bytes()).expect("roots"),
        server: ServerIdentity::from_pem(
            server.pem().as_bytes(),
            server_key.serialize_pem().as_bytes(),
        )
        .expect("a server identity"),
        client: ClientIdentity::from_pem(
            certificate.pem().as_bytes(),
            client_key.serialize_pem().as_bytes(),
        )
        .expect("a client identity"),
    }
}

/// Runs one handshake; the server's and the client's views of it.
async fn handshake(
    world: &World,
    clients: ClientCertificates,
    identity: Option<&ClientIdentity>,
    offered: &[&[u8]],
    name: &'static str,
) -> (
    Result<(Option<Vec<u8>>, Option<String>, bool), TlsError>,
    bool,
) {
    let config = server_config(&world.server, clients, &[alpn::MQTT, alpn::HTTP_1_1])
        .expect("a server configuration");
    let acceptor = TlsAcceptor::new(config).deadline(Duration::from_secs(5));
    let client = client_config(&world.roots, identity, offered).expect("a client configuration");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connect = async {
        let mut stream = tokio_rustls::TlsConnector::from(client)
            .connect(name.try_into().expect("a name"), far)
            .await?;
        stream.write_all(b"ping").await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await
    };
    let accept = async {
        let mut accepted = acceptor.accept(near).await?;
        let mut question = [0; 4];
        accepted
            .stream
            .read_exact(&mut question)
            .await
            .map_err(TlsError::Handshake)?;
        accepted
            .stream
            .write_all(&question)
            .await
            .map_err(TlsError::Handshake)?;
        accepted.stream.flush().await.map_err(TlsError::Handshake)?;
        Ok((
            accepted.protocol,
            accepted.server_name,
            accepted.certificate.is_some(),
        ))
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    (accepted, connected.is_ok())
}

#[tokio::test]
async fn a_client_certificate_of_any_making_is_let_in_once_its_key_is_proven() {
    let plain = world(|_| {});
    let with_ca_flag = world(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    for world in [&plain, &with_ca_flag] {
        let (accepted, connected) = handshake(
            world,
            ClientCertificates::Required,
            Some(&world.client),
            &[alpn::MQTT],
            "localhost",
        )
        .await;
        assert_eq!(
            accepted.expect("a handshake"),
            (Some(alpn::MQTT.to_vec()), Some("localhost".into()), true)
        );
        assert!(connected);
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_only_where_one_is_required() {
    let world = world(|_| {});
    let (accepted, _) =
        handshake(&world, ClientCertificates::Required, None, &[], "localhost").await;
    assert_eq!(
        accepted.expect_err("no certificate").code(),
        "tls-handshake-failed"
    );
    let (accepted, connected) =
        handshake(&world, ClientCertificates::Optional, None, &[], "localhost").await;
    assert_eq!(
        accepted.expect("a handshake"),
        (None, Some("localhost".into()), false)
    );
    assert!(connected);
}

#[tokio::test]
async fn an_expired_client_certificate_is_refused() {
    let world = world(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (accepted, connected) = handshake(
        &world,
        ClientCertificates::Optional,
        Some(&world.client),
        &[],
        "localhost",
    )
    .await;
    let error = accepted.expect_err("an expired certificate");
    assert!(error.report().chain().contains("xpired"), "{error:?}");
    assert!(!connected);
}

#[tokio::test]
async fn a_certificate_with_another_key_is_refused() {
    let one = world(|_| {});
    let two = world(|_| {});
    // rustls checks pairs when they are loaded, so the lie is put together from DER parts.
    let (chain, _) = one.client.parts();
    let (_, key) = two.client.parts();
    let provider = provider();
    let key = provider
        .key_provider
        .load_private_key(key)
        .expect("a usable key");
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
    #[derive(Debug)]
    struct Liar(Arc<rustls::sign::CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Liar {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(one.roots.store())
            .with_client_cert_resolver(Arc::new(Liar(Arc::clone(&certified))));
        let config = server_config(&one.server, ClientCertificates::Required, &[]).expect("config");
        let acceptor = TlsAcceptor::new(config);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let connect = tokio_rustls::TlsConnector::from(Arc::new(client))
            .connect("localhost".try_into().expect("a name"), far);
        let (accepted, _) = tokio::join!(acceptor.accept(near), connect);
        assert!(accepted.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn unknown_protocol_names_do_not_refuse_and_a_wrong_host_name_does() {
    let world = world(|_| {});
    let identity = Some(&world.client);
    let (accepted, _) = handshake(
        &world,
        ClientCertificates::Required,
        identity,
        &[b"mqtt-of-tomorrow"],
        "localhost",
    )
    .await;
    assert_eq!(accepted.expect("a handshake").0, None);
    let (_, connected) = handshake(
        &world,
        ClientCertificates::Required,
        identity,
        &[],
        "example.com",
    )
    .await;
    assert!(!connected);
}

#[test]
fn faults_in_pem_name_file_and_line() {
    let check = |text: &str, code: &str, line: Option<u64>| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.pem");
        std::fs::write(&path, text).expect("a file");
        let error = Roots::from_file(&path).expect_err("a fault");
        assert_eq!(error.code(), code, "{text:?}");
        let place = error.place().expect("a place").to_string();
        let expected = line.map_or_else(
            || path.display().to_string(),
            |line| format!("{}:{line}", path.display()),
        );
        assert_eq!(place, expected);
    };
    check("", "tls-pem-missing", None);
    check("hello\n", "tls-pem-missing", None);
    check(
        "-----BEGIN CERTIFICATE-----\nQUJD\n",
        "tls-pem-invalid",
        Some(1),
    );
    check(
        "x\n-----BEGIN CERTIFICATE-----\nQ!JD\n-----END CERTIFICATE-----\n",
        "tls-pem-invalid",
        Some(3),
    );
    check(
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END KEY-----\n",
        "tls-pem-invalid",
        Some(3),
    );
    check(
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        "tls-root-invalid",
        None,
    );
    let error = Roots::from_file(std::path::Path::new("/nonexistent/ca.pem")).expect_err("no file");
    assert_eq!(error.code(), "tls-file-unreadable");
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nQUJD\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let world = world(|_| {});
    let (chain, _) = world.client.parts();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &chain[0])
    );
    let error = ClientIdentity::from_pem(pem.as_bytes(), key.as_bytes()).expect_err("locked");
    assert_eq!(error.code(), "tls-key-encrypted");
}
