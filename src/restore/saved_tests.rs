use super::*;

const S: i128 = 1_000_000_000;

fn saved() -> SavedClocks {
    let host = Readings {
        realtime: 1_700_000_000 * S + 5,
        tai: 1_700_000_037 * S + 5,
        monotonic: 86_400 * S + 999_999_999,
        boottime: 90_000 * S,
    };
    let offset = |nanos| Offset::from_nanos(nanos).unwrap();
    let offsets = ClockOffsets {
        realtime: offset(864_000 * S + 1),
        tai: offset(-S / 4),
        monotonic: offset(-86_400 * S),
        boottime: offset(0),
    };
    SavedClocks::new(host, offsets).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    SavedClocks::parse(bytes).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read_to_the_nanosecond() {
    let whole = saved()
        .with_boot_id("4bbd3cd0-2f6d-44c5-9fd6-0c1c5c8b6b5c")
        .with_name("web")
        .with_tree("images of \"web\"\n");
    for saved in [saved(), whole] {
        assert_eq!(
            SavedClocks::parse(saved.to_json().as_bytes()).unwrap(),
            saved
        );
    }
}

#[test]
fn a_file_says_each_clock_in_seconds() {
    let text = saved().to_json();
    for line in [
        r#""realtime": "1700864000.000000006""#,
        r#""monotonic": "0.999999999""#,
        r#""realtime": "+864000.000000001""#,
        r#""tai": "-0.25""#,
        r#""boottime": "+0""#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_file_of_the_kernels_that_somebody_else_names_is_not_opened() {
    // It shows its reader's own command line, which is no clocks.
    for path in ["/proc/self/cmdline", "/proc/kmsg"] {
        let why = SavedClocks::read_plain(Path::new(path)).unwrap_err();
        assert_eq!(
            why.to_string(),
            format!("`{path}`: it is empty; save the clocks anew")
        );
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let text = saved().with_name("web").to_json();
    let whole = text.trim_end().len();
    for len in 0..whole {
        let why = refused(&text.as_bytes()[..len]);
        assert!(
            why.contains("cut off") || why.contains("empty"),
            "{len}: {why}"
        );
    }
}

#[test]
fn a_digit_that_has_changed_is_noticed_wherever_it_stands() {
    let text = saved().to_json();
    let mut changed = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if byte == b'9' { b'0' } else { byte + 1 };
        refused(&bytes);
        changed += 1;
    }
    assert!(changed > 100, "{changed}");
}

#[test]
fn a_newer_version_is_refused_whatever_else_it_has() {
    let why = refused(br#"{"format": "elsewhen clocks", "version": 2, "clocks": []}"#);
    assert!(
        why.contains("version 2") && why.contains("newer elsewhen"),
        "{why}"
    );
    let more = saved().to_json().replacen('{', r#"{"later": [1, {}],"#, 1);
    SavedClocks::parse(more.as_bytes()).unwrap();
}

#[test]
fn what_no_save_would_write_is_refused() {
    let text = saved().with_name("web").to_json();
    let changes = [
        ("\"elsewhen clocks\"", "\"other clocks\"", "holds no clocks"),
        ("\"version\": 1", "\"version\": 0", "no version 0"),
        ("\"version\": 1", "\"version\": \"1\"", "damaged"),
        (
            "\"version\": 1",
            "\"version\": 1, \"version\": 1",
            "duplicate",
        ),
        (
            "\"1700000000.000000005\"",
            "\"-1.5\"",
            "no number of seconds",
        ),
        (
            "\"1700000000.000000005\"",
            "\"1e9\"",
            "no number of seconds",
        ),
        ("\"1700000000.000000005\"", "\"1h\"", "no number of seconds"),
        ("\"1700000000.000000005\"", "\"\"", "no number of seconds"),
        ("\"1700000000.000000005\"", "1700000000", "damaged"),
        (
            "\"1700000000.000000005\"",
            "\"99999999999\"",
            "beyond the limit",
        ),
        ("\"90000.000000000\"", "\"9000000000\"", "beyond the limit"),
        ("\"-86400\"", "\"-86401\"", "below zero"),
        ("\"-86400\"", "\"-1d\\u0000\"", "`monotonic`"),
        ("\"-86400\"", "\"-1mo\"", "no calendar"),
        (
            "\"+864000.000000001\"",
            "\"+864000\"",
            "not `host` plus `offsets`",
        ),
        (
            "\"+864000.000000001\"",
            "\"+99999999999999999999\"",
            "too large",
        ),
    ];
    for (from, to, why) in changes {
        assert!(text.contains(from), "{from} in {text}");
        let told = refused(text.replace(from, to).as_bytes());
        assert!(told.contains(why), "{to}: {told}");
    }
    let long = "x".repeat(65);
    let told = refused(text.replace("\"web\"", &format!("\"{long}\"")).as_bytes());
    assert!(told.contains("`name` is longer"), "{told}");
    for bytes in [&b"[]"[..], b"null", b"7", b"\xff\xfe", b"{}", &[b'['; 4000]] {
        refused(bytes);
    }
}
