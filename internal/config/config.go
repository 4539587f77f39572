// Package config turns one strict sluice.yaml, the environment and flags into
// one Config. Load applies default < file < environment < flag and reports
// every fault at once, each at the place where it was written.
//
// Config is the whole configuration and the only table of its keys: the tags
// of its fields give name, default, bounds and meaning, and from them follow
// the file's shape, the SLUICE_* names, the checks, the documentation (Keys)
// and what `sluice config` prints (Config.Origins). A Fault is one thing wrong.
// A Secret is what stands in a *_file; no secret is ever a value here.
//
// A Config is not changed after Load and may be shared. Nothing in it changes a
// decision: what does stands in the ruleset and enters through the journal.
// This package opens no data file but the configuration and what ReadSecret is
// asked for; whether a path exists is for its user to find out.
package config

import (
	"io"
	"log/slog"
	"time"
)

// Config is the content of sluice.yaml. Paths are relative to the working
// directory of the process. Tags, all read by schema.go:
//
//	key      name in the file; its section's names come before it
//	default  text of the default, parsed as if it stood in the file
//	derive   file below data_dir that an empty value stands for
//	min,max  bounds, both inclusive, in the notation of the field
//	oneof    the values known; later: those refused as not supported yet
//	check    a named test of text.go
//	help     one line for people
type Config struct {
	DataDir       string     `key:"data_dir" default:"./data" check:"path" help:"directory of journal, store and keys"`
	Listen        string     `key:"listen" default:"127.0.0.1:8080" check:"address" help:"address of the HTTP interface"`
	MetricsListen string     `key:"metrics_listen" check:"address?" help:"own address for /metrics; empty: served on listen"`
	TLS           TLS        `key:"tls"`
	KeysFile      string     `key:"keys_file" derive:"keys.yaml" help:"API keys; empty: keys.yaml in data_dir"`
	Rulesets      string     `key:"rulesets" default:"./rulesets/payments" check:"path" help:"directory of the ruleset"`
	Cell          string     `key:"cell" default:"cell-0" check:"name" help:"name of this engine among those on the same brokers; fixed when its journal begins"`
	Tenant        string     `key:"tenant" default:"default" check:"name" help:"tenant of events that get none from key or source"`
	Kafka         Kafka      `key:"kafka"`
	Sources       []Source   `key:"sources" help:"topics that are read, as YAML: [{topic: payments, format: json, tenant: default}]"`
	Outputs       Outputs    `key:"outputs"`
	Journal       Journal    `key:"journal"`
	Decisions     Decisions  `key:"decisions"`
	Checkpoint    Checkpoint `key:"checkpoint"`
	State         State      `key:"state"`
	Backfill      Backfill   `key:"backfill"`
	Disk          Disk       `key:"disk"`
	Limits        Limits     `key:"limits"`
	PAN           PAN        `key:"pan"`
	Geo           Geo        `key:"geo"`
	Tables        Tables     `key:"tables"`
	DeadLetter    DeadLetter `key:"dead_letter"`
	FeatureLog    FeatureLog `key:"feature_log"`
	Log           Log        `key:"log"`

	origins []Origin
}

// TLS is the certificate of the listener; without it HTTP is served in clear.
type TLS struct {
	CertFile string `key:"cert_file" help:"certificate chain of the listener, PEM"`
	KeyFile  string `key:"key_file" help:"its private key, PEM"`
}

// Kafka is how the brokers are reached. Without brokers there is no Kafka.
type Kafka struct {
	Brokers []string      `key:"brokers" check:"broker" help:"bootstrap brokers host:port; empty: no Kafka"`
	MaxSkew time.Duration `key:"max_skew" default:"1s" max:"1h" help:"how far a partition may be read ahead of an empty one, by record timestamp; 0s: partitions are not merged"`
	TLS     KafkaTLS      `key:"tls"`
	SASL    SASL          `key:"sasl"`
}

// Enabled says whether Kafka takes part at all.
func (k Kafka) Enabled() bool { return len(k.Brokers) > 0 }

// KafkaTLS is how brokers and Sluice know each other. The files are read again
// for each new connection.
type KafkaTLS struct {
	Enabled    bool   `key:"enabled" default:"false" help:"true: TLS to the brokers; also when one of the files below is set"`
	CAFile     string `key:"ca_file" help:"certificate authorities of the brokers, PEM; empty: those of the system"`
	CertFile   string `key:"cert_file" help:"certificate shown to the brokers (mTLS), PEM"`
	KeyFile    string `key:"key_file" help:"its private key, PEM"`
	ServerName string `key:"server_name" check:"host?" help:"name in the brokers' certificates; empty: the host that is dialled"`
}

// files tells whether any of its files is named.
func (t KafkaTLS) files() bool { return t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" }

// SASL is the identity shown to the brokers. The files are read again for each
// new connection.
type SASL struct {
	Mechanism        string   `key:"mechanism" default:"SCRAM-SHA-512" oneof:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER" help:"OAUTHBEARER needs token_file or token_url, the others are used when user_file is set"`
	UserFile         string   `key:"user_file" help:"file with the user name; empty: no SASL"`
	PasswordFile     string   `key:"password_file" help:"file with the password"`
	TokenFile        string   `key:"token_file" help:"OAUTHBEARER: file with a token that something else renews"`
	TokenURL         string   `key:"token_url" check:"token_url?" help:"OAUTHBEARER: token endpoint, asked by the client-credentials grant"`
	TokenCAFile      string   `key:"token_ca_file" help:"its certificate authorities, PEM; empty: those of the system"`
	ClientIDFile     string   `key:"client_id_file" help:"file with the client id for token_url"`
	ClientSecretFile string   `key:"client_secret_file" help:"file with the client secret for token_url"`
	Scope            string   `key:"scope" help:"scope asked of token_url"`
	Extensions       []string `key:"extensions" check:"extension" help:"OAUTHBEARER: name=value shown with the token, as some services want"`
}

// OAuth is the mechanism that shows a token.
const OAuth = "OAUTHBEARER"

// Enabled says whether the brokers are shown an identity.
func (s SASL) Enabled() bool { return s.UserFile != "" || s.Mechanism == OAuth }

// Source is one topic that is read.
type Source struct {
	Topic  string  `key:"topic" check:"topic" help:"topic read"`
	Format string  `key:"format" default:"json" oneof:"json,cloudevents" help:"encoding of its values"`
	Tenant string  `key:"tenant" check:"name?" help:"tenant of its events; empty: tenant"`
	Map    Mapping `key:"map" help:"how its values become events: a ready-made mapping, a file, or the mapping itself; empty: they are events"`
}

// Outputs are the topics that are written; an empty name writes none.
type Outputs struct {
	Decisions  string `key:"decisions" default:"decisions" check:"topic?" help:"topic of decisions; empty: not published"`
	Alerts     string `key:"alerts" default:"alerts" check:"topic?" help:"topic of alerts; empty: not published"`
	DeadLetter string `key:"dead_letter" default:"dead-letter" check:"topic?" help:"topic of records that could not be taken"`
}

// Journal is the log that everything else is derived from.
type Journal struct {
	Dir         string        `key:"dir" derive:"journal" help:"directory of the segments; empty: journal in data_dir"`
	Retain      time.Duration `key:"retain" default:"400d" min:"1h" help:"segments older than this are dropped"`
	RetainBytes Size          `key:"retain_bytes" default:"200GiB" min:"64MiB" help:"oldest segments are dropped beyond this"`
}

// Decisions is the store of decisions made.
type Decisions struct {
	Retain time.Duration `key:"retain" default:"180d" min:"1h" help:"how long a decision can be read again"`
}

// Checkpoint is how often derived state reaches the disk, whichever is first.
type Checkpoint struct {
	Every  time.Duration `key:"every" default:"1s" min:"10ms" max:"10m" help:"longest time between checkpoints"`
	Events int           `key:"events" default:"10000" min:"1" max:"1000000" help:"most events between checkpoints"`
}

// State is what features remember of entities.
type State struct {
	Memory Size `key:"memory" default:"2GiB" min:"1MiB" help:"about how much of the entities stays in memory; the others are read from the store when an event touches them"`
}

// Backfill is what learning the past of new features may take from live decisions.
type Backfill struct {
	CPUPercent int `key:"cpu_percent" default:"30" min:"1" max:"100" help:"percent of one core that a backfill may take; it rests while events wait all the same"`
}

// Disk keeps the process away from a full disk, which would kill it.
type Disk struct {
	Reserve Size `key:"reserve" default:"1GiB" min:"64MiB" help:"below this much free space nothing new is accepted"`
	Ballast Size `key:"ballast" default:"64MiB" help:"file kept to be given up when the disk is full; 0: none"`
}

// Limits bound what one caller and the whole process may ask for.
type Limits struct {
	// Entity and event values stay inline in the store up to this cap, so it
	// is a bound of the format and not only of the listener.
	BodyBytes   Size          `key:"body_bytes" default:"64KiB" min:"1KiB" max:"64KiB" help:"largest event"`
	InFlight    int           `key:"inflight" default:"4096" min:"1" max:"1000000" help:"admission bound: requests beyond it get 429"`
	Drain       time.Duration `key:"drain" default:"10s" max:"10m" help:"time to finish work in flight at shutdown"`
	BatchEvents int           `key:"batch_events" default:"512" min:"1" max:"4096" help:"most events in one batch: more for throughput from Kafka alone, fewer for answers in time beside a backlog"`
}

// PAN says what happens to card numbers; modes are never mixed in a tenant.
type PAN struct {
	Mode    string `key:"mode" default:"token" oneof:"token,hmac" help:"token: only tokens come; hmac: numbers are replaced at intake"`
	KeyFile string `key:"key_file" help:"file with the key of mode hmac"`
}

// Geo names MaxMind DB files; an empty one leaves its facts missing. A file that is
// replaced is taken up while the server runs.
type Geo struct {
	CityMMDB      string `key:"city_mmdb" help:"MaxMind DB of cities"`
	ASNMMDB       string `key:"asn_mmdb" help:"MaxMind DB of networks"`
	CountryMMDB   string `key:"country_mmdb" help:"MaxMind DB of countries"`
	AnonymousMMDB string `key:"anonymous_mmdb" help:"MaxMind DB of VPNs, proxies, Tor and hosting"`
}

// Tables names the other files of look-ups, which are taken up in the same way.
type Tables struct {
	BINs       string `key:"bin_csv" help:"CSV of BIN ranges: from,to,country,brand,funding,issuer"`
	Disposable string `key:"disposable_domains" help:"mail domains that anybody has for a moment, one a line"`
	Free       string `key:"free_domains" help:"mail domains that anybody may have an address of, one a line"`
}

// DeadLetter says what a dead letter carries beside reason, position, digest.
type DeadLetter struct {
	Payload string `key:"payload" default:"none" oneof:"none,encrypted" help:"encrypted: the record's value goes along, closed with key_file"`
	KeyFile string `key:"key_file" help:"file with the public key made by sluice dead-letter keygen"`
}

// FeatureLog is what models are trained on: every feature of every decision.
type FeatureLog struct {
	Dir    string        `key:"dir" help:"directory for files with every feature of every decision, to train models on; empty: none"`
	Format string        `key:"format" default:"parquet" oneof:"parquet,csv" help:"form of these files"`
	Bytes  Size          `key:"bytes" default:"256MiB" min:"64KiB" help:"about the largest size of a file"`
	Every  time.Duration `key:"every" default:"1h" min:"1s" max:"24h" help:"longest time until a file is complete"`
}

// Log is where the program's own words go: standard error.
type Log struct {
	Level  string `key:"level" default:"info" oneof:"debug,info,warn,error" help:"least level written"`
	Format string `key:"format" default:"text" oneof:"text,json" help:"form of the lines"`
}

// Logger writes to w what the configured level lets through.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		level = slog.LevelInfo // the zero Log, which Load never returns
	}
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
