package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// Language is a language of the pages with everything they say in it.
type Language struct {
	Tag  string // for the attribute lang and for choosing it
	Name string // in itself
	Key  string // under which rule files have its texts

	texts map[string]string
	// How times are written without a script, and money everywhere: the forms that
	// CLDR has as medium. Numbers have the same form in all languages there are.
	today, otherDay, instant string
	currencyFirst            bool
}

// The languages there are. A further one is a further catalogue of the same keys.
var (
	English = &Language{Tag: "en", Name: "English", Key: "en", texts: english,
		today: "15:04:05", otherDay: "02 Jan 15:04", instant: "2006-01-02 15:04:05 UTC"}
	Chinese = &Language{Tag: "zh-CN", Name: "中文", Key: "zh", texts: chinese,
		today: "15:04:05", otherDay: "1月2日 15:04", instant: "2006年1月2日 15:04:05 UTC", currencyFirst: true}
)

var (
	languages = []*Language{English, Chinese}
	matcher   = language.NewMatcher([]language.Tag{language.English, language.SimplifiedChinese})
)

// Languages gives all, the first one for those who read none of them.
func Languages() []*Language { return slices.Clone(languages) }

// Chosen is the language of a tag or key, nil if there is none.
func Chosen(tag string) *Language {
	for _, l := range languages {
		if tag != "" && (tag == l.Tag || tag == l.Key) {
			return l
		}
	}
	return nil
}

// Accepted is the language that suits a header Accept-Language best.
func Accepted(header string) *Language {
	// What cannot be read asks for nothing.
	wanted, _, _ := language.ParseAcceptLanguage(header)
	_, i, _ := matcher.Match(wanted...)
	return languages[i]
}

// T gives a text, with what belongs into it.
func (l *Language) T(key string, args ...any) (string, error) {
	s, ok := l.texts[key]
	if !ok {
		return "", fmt.Errorf("web: no text %q in %s", key, l.Tag)
	}
	if len(args) == 0 {
		return s, nil
	}
	return fmt.Sprintf(s, args...), nil
}

// Say is T for keys that are written in the source, where a missing one is a bug.
func (l *Language) Say(key string, args ...any) string {
	s, err := l.T(key, args...)
	if err != nil {
		panic(err)
	}
	return s
}

// Word gives the text of a name that comes from elsewhere, or the name itself.
func (l *Language) Word(group, name string) string {
	if s, ok := l.texts[group+"."+name]; ok {
		return s
	}
	return name
}

// Has reports whether there is a text of this key.
func (l *Language) Has(key string) bool { return l.texts[key] != "" }

// Of chooses among texts by language, as rule files have them: this language's,
// else the English one, else what stands for none.
func (l *Language) Of(texts map[string]string, none string) string {
	for _, s := range []string{texts[l.Key], texts[English.Key]} {
		if s != "" {
			return s
		}
	}
	return none
}

// Keys are the keys of all texts, sorted.
func Keys() []string { return slices.Sorted(maps.Keys(english)) }

// scriptTexts is what the script says, as JSON for an attribute.
func (l *Language) scriptTexts() string {
	own := map[string]string{}
	for k, v := range l.texts {
		if name, ok := strings.CutPrefix(k, "script."); ok {
			own[name] = v
		}
	}
	b, err := json.Marshal(own)
	if err != nil {
		panic(err) // strings: cannot happen
	}
	return string(b)
}
