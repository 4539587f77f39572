package simulate

import (
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// place is a country with what makes its people's payments look like it.
type place struct {
	country, currency string
	perCent           int // minor units of the currency for 1,000 cents of USD
	offset            int // minutes east of UTC
	calling           string
	language, zone    string
	weight            int // people, out of the sum of all
	home, mobile      block
	names             *names
	cities            []city
	bins              []string
}

// block is count networks of 65,536 addresses from first.0.0 on, all of them
// registered in the place's country; a test looks every one up.
type block struct {
	first uint16
	count int
}

func net16(a, b int) uint16 { return uint16(a<<8 | b) }

type city struct{ name, region, postal string }

type names struct{ first, last []string }

var western = &names{
	words("Anna James Laura Peter Sophie Martin Julia Thomas Emma David Clara Simon Helen Robert Nina Oliver Marta Philip Irene Mark Alice Daniel Ruth Henry"),
	words("Walker Fischer Martin Novak Smith Bakker Moreau Jansen Clarke Weber Hughes Laurent Kowalski Meyer Turner Visser Bennett Wagner Dubois Parker Nowak Schmid Foster Keller"),
}

var latin = &names{
	words("Maria Carlos Ana Luis Sofia Pedro Lucia Diego Camila Rafael Elena Bruno Paula Marco Isabel Andres Giulia Paolo Teresa Javier Bianca Miguel Carla Hugo"),
	words("Silva Garcia Rossi Hernandez Santos Lopez Ferrari Oliveira Martinez Romano Costa Perez Bianchi Ramirez Almeida Torres Ricci Gomez Pereira Navarro Conti Ortega Ribeiro Molina"),
}

var chinese = &names{
	words("伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 秀英 霞 平 刚 桂英 玉兰 建华"),
	words("王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗 梁 宋 郑 谢"),
}

var asian = &names{
	words("Haruto Yui Minjun Seoyeon Wei Mei Sota Hana Jiho Arjun Priya Ravi Ananya Kenji Aiko Vikram Lin Jia Rohan Meera Daiki Sora Yuna Nisha"),
	words("Sato Kim Tan Suzuki Lee Sharma Takahashi Park Lim Patel Tanaka Choi Ng Gupta Watanabe Jung Wong Singh Ito Kang Goh Mehta Yamamoto Rao"),
}

var places = []*place{
	{"US", "USD", 1000, -300, "1", "en-US", "America/New_York", 170, block{net16(98, 192), 16}, block{net16(172, 58), 1}, western,
		[]city{{"Columbus", "OH", "43085"}, {"Austin", "TX", "73301"}, {"Portland", "OR", "97035"}}, words("414720 542418 455951")},
	{"GB", "GBP", 769, 0, "44", "en-GB", "Europe/London", 80, block{net16(81, 128), 16}, block{net16(86, 128), 8}, western,
		[]city{{"Leeds", "WYK", "LS1 4AP"}, {"Bristol", "BST", "BS1 5TR"}, {"London", "LND", "E1 6AN"}}, words("475129 535522")},
	{"DE", "EUR", 909, 60, "49", "de-DE", "Europe/Berlin", 80, block{net16(87, 128), 32}, block{net16(109, 40), 4}, western,
		[]city{{"Köln", "NW", "50667"}, {"Leipzig", "SN", "04109"}, {"Hamburg", "HH", "20095"}}, words("490638 533248")},
	{"FR", "EUR", 909, 60, "33", "fr-FR", "Europe/Paris", 60, block{net16(86, 192), 32}, block{net16(93, 0), 16}, western,
		[]city{{"Lyon", "ARA", "69001"}, {"Nantes", "PDL", "44000"}}, words("497010 513105")},
	{"NL", "EUR", 909, 60, "31", "nl-NL", "Europe/Amsterdam", 35, block{net16(77, 160), 16}, block{net16(145, 64), 8}, western,
		[]city{{"Utrecht", "UT", "3511 LX"}, {"Rotterdam", "ZH", "3011 AD"}}, words("467601 525412")},
	{"SG", "SGD", 1333, 480, "65", "en-SG", "Asia/Singapore", 40, block{net16(43, 64), 16}, block{net16(178, 100), 2}, asian,
		[]city{{"Singapore", "SG", "179098"}}, words("450605 540912")},
	{"CN", "CNY", 7143, 480, "86", "zh-CN", "Asia/Shanghai", 110, block{net16(222, 16), 32}, block{net16(36, 96), 32}, chinese,
		[]city{{"深圳", "GD", "518000"}, {"杭州", "ZJ", "310000"}, {"上海", "SH", "200000"}}, words("622848 625904")},
	{"HK", "HKD", 7692, 480, "852", "zh-HK", "Asia/Hong_Kong", 45, block{net16(223, 16), 4}, block{net16(113, 252), 4}, asian,
		[]city{{"Kowloon", "KLN", "000000"}, {"Sha Tin", "NT", "000000"}}, words("454641 518898")},
	{"JP", "JPY", 1515, 540, "81", "ja-JP", "Asia/Tokyo", 60, block{net16(60, 64), 32}, block{net16(126, 53), 32}, asian,
		[]city{{"Osaka", "27", "530-0001"}, {"Nagoya", "23", "450-0002"}}, words("498003 356800")},
	{"BR", "BRL", 5556, -180, "55", "pt-BR", "America/Sao_Paulo", 50, block{net16(179, 110), 32}, block{net16(191, 8), 16}, latin,
		[]city{{"Curitiba", "PR", "80010-000"}, {"Recife", "PE", "50010-000"}}, words("498423 516292")},
	{"IN", "INR", 83333, 330, "91", "en-IN", "Asia/Kolkata", 60, block{net16(117, 192), 32}, block{net16(106, 192), 16}, asian,
		[]city{{"Pune", "MH", "411001"}, {"Chennai", "TN", "600001"}}, words("459200 524133")},
	{"MX", "MXN", 20000, -360, "52", "es-MX", "America/Mexico_City", 35, block{net16(189, 128), 32}, block{net16(187, 192), 16}, latin,
		[]city{{"Puebla", "PUE", "72000"}, {"Monterrey", "NLE", "64000"}}, words("477261 557905")},
	{"AU", "AUD", 1538, 600, "61", "en-AU", "Australia/Sydney", 40, block{net16(1, 120), 16}, block{net16(49, 176), 8}, western,
		[]city{{"Brisbane", "QLD", "4000"}, {"Perth", "WA", "6000"}}, words("456468 521729")},
	{"PL", "PLN", 4000, 60, "48", "pl-PL", "Europe/Warsaw", 35, block{net16(83, 0), 16}, block{net16(89, 64), 8}, western,
		[]city{{"Gdańsk", "PM", "80-001"}, {"Wrocław", "DS", "50-001"}}, words("425125 516931")},
	{"ES", "EUR", 909, 60, "34", "es-ES", "Europe/Madrid", 45, block{net16(88, 0), 16}, block{net16(83, 32), 16}, latin,
		[]city{{"Valencia", "VC", "46001"}, {"Bilbao", "PV", "48001"}}, words("454890 540028")},
	{"IT", "EUR", 909, 60, "39", "it-IT", "Europe/Rome", 45, block{net16(79, 0), 32}, block{net16(95, 224), 16}, latin,
		[]city{{"Bologna", "BO", "40121"}, {"Torino", "TO", "10121"}}, words("432917 533317")},
	{"ZA", "ZAR", 18182, 120, "27", "en-ZA", "Africa/Johannesburg", 25, block{net16(197, 64), 16}, block{net16(41, 12), 8}, western,
		[]city{{"Durban", "KZN", "4001"}, {"Pretoria", "GP", "0002"}}, words("483951 522113")},
	{"AE", "AED", 3704, 240, "971", "en-AE", "Asia/Dubai", 25, block{net16(94, 200), 8}, block{net16(86, 96), 4}, asian,
		[]city{{"Dubai", "DU", "00000"}, {"Sharjah", "SH", "00000"}}, words("410680 536125")},
	{"KR", "KRW", 14286, 540, "82", "ko-KR", "Asia/Seoul", 40, block{net16(121, 128), 32}, block{net16(112, 144), 16}, asian,
		[]city{{"Busan", "26", "48943"}, {"Daegu", "27", "41911"}}, words("457973 540926")},
	{"CA", "CAD", 1389, -300, "1", "en-CA", "America/Toronto", 40, block{net16(70, 64), 16}, block{net16(99, 208), 8}, western,
		[]city{{"Ottawa", "ON", "K1A 0B1"}, {"Calgary", "AB", "T2P 1J9"}}, words("450003 518127")},
}

// hosts are data centres and consumer networks from which fraud comes, and where
// tunnels end.
var hosts = []struct {
	country string
	block   block
}{
	{"DE", block{net16(88, 198), 1}},
	{"NL", block{net16(85, 17), 1}},
	{"FI", block{net16(95, 216), 1}},
	{"RO", block{net16(82, 76), 4}},
	{"UA", block{net16(176, 36), 4}},
	{"VN", block{net16(14, 224), 16}},
}

// address draws an address of the block.
func (b block) address(d dice) uint32 {
	return uint32(int(b.first)+d.n(b.count))<<16 | uint32(d.n(256))<<8 | uint32(d.between(2, 250))
}

// near gives another address of the same network of 256.
func near(ip uint32, d dice) uint32 { return ip&^255 | uint32(d.between(2, 250)) }

func dotted(ip uint32) string {
	var buf [15]byte
	b := buf[:0]
	for shift := 24; shift >= 0; shift -= 8 {
		b = strconv.AppendUint(b, uint64(ip>>shift&255), 10)
		if shift > 0 {
			b = append(b, '.')
		}
	}
	return string(b)
}

// money gives an amount of cents of USD in the place's currency.
func (p *place) money(cents int) risk.Money {
	minor := int64(cents) * int64(p.perCent) / 1000
	return risk.Money{Minor: max(minor, 1), Currency: p.currency}
}

// priced is money as shops write it: ending in .99, .95, .50 or .00 where the
// currency has cents and the amount is not small.
func (p *place) priced(cents int, d dice) risk.Money {
	m := p.money(cents)
	if risk.Exponent(p.currency) == 2 && m.Minor > 400 {
		m.Minor = m.Minor/100*100 + [...]int64{99, 50, 95, 0}[d.n(4)]
	}
	return m
}
