package transfer

import (
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// roleNames are the names that other programs and providers give to the folders that RFC
// 6154 marks by their use, in small letters: those of Dovecot, Thunderbird, Apple Mail,
// Outlook and Exchange, Gmail, GMX, web.de, T-Online, Yahoo, iCloud and others, in the
// languages that they have them in.
var roleNames = map[goimap.MailboxAttr][]string{
	goimap.MailboxAttrSent: {
		"sent", "sent items", "sent messages", "sent mail", "sent-mail", "outbox-sent", "sent objects",
		"gesendet", "gesendete objekte", "gesendete elemente", "gesendete nachrichten", "gesendete mails", "postausgang gesendet",
		"éléments envoyés", "messages envoyés", "envoyés", "courrier envoyé", "objets envoyés",
		"enviados", "elementos enviados", "mensajes enviados", "correo enviado",
		"posta inviata", "inviata", "inviati", "elementi inviati", "messaggi inviati",
		"itens enviados", "mensagens enviadas", "e-mails enviados", "itens enviadas",
		"verzonden", "verzonden items", "verzonden berichten", "verstuurde berichten", "verzonden objecten",
		"skickat", "skickade", "skickade objekt", "skickade meddelanden", "sendt", "sendte elementer", "sendt post", "sendte meddelelser", "sendt e-mail",
		"lähetetyt", "lähetetyt viestit", "elementy wysłane", "wysłane", "odeslaná pošta", "odeslané", "odoslané", "elküldött elemek", "elküldött",
		"отправленные", "надіслані", "gönderilmiş öğeler", "gönderilenler", "gönderilmiş postalar", "απεσταλμένα", "trimise", "送信済みアイテム", "送信済み", "送信済みメール", "已发送", "已发送邮件", "已傳送", "寄件備份", "보낸편지함",
	},
	goimap.MailboxAttrDrafts: {
		"drafts", "draft", "entwürfe", "entwurf", "brouillons", "brouillon", "borradores", "borrador", "bozze", "rascunhos", "concepten", "utkast", "kladder", "luonnokset",
		"robocze", "wersje robocze", "szkice", "koncepty", "rozepsané", "piszkozatok", "черновики", "чернетки", "taslaklar", "πρόχειρα", "ciorne", "下書き", "草稿", "草稿箱", "임시보관함",
	},
	goimap.MailboxAttrJunk: {
		"junk", "spam", "junk e-mail", "junk email", "junk mail", "bulk mail", "bulk", "spambox", "spamverdacht", "unerwünscht", "unbekannt", "werbung", "junk-e-mail", "spam-verdacht", "spamordner",
		"courrier indésirable", "indésirables", "pourriel", "indésirable", "correo no deseado", "no deseado", "correo basura", "posta indesiderata", "indesiderata",
		"lixo eletrônico", "lixo electrónico", "lixo eletrónico", "spam e lixo", "ongewenste e-mail", "ongewenst", "ongewenste reclame", "skräppost", "søppelpost", "uønsket e-post", "uønsket mail", "uønsket e-mail", "roskaposti",
		"wiadomości-śmieci", "wiadomości śmieci", "nevyžádaná pošta", "nevyžiadaná pošta", "levélszemét", "спам", "нежелательная почта", "istenmeyen", "istenmeyen e-posta", "önemsiz e-posta", "ανεπιθύμητη αλληλογραφία", "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸편지함", "스팸함",
	},
	goimap.MailboxAttrTrash: {
		"trash", "deleted items", "deleted messages", "deleted", "bin", "wastebasket", "deleted mails",
		"papierkorb", "gelöscht", "gelöschte objekte", "gelöschte elemente", "gelöschte nachrichten",
		"corbeille", "éléments supprimés", "messages supprimés", "papelera", "elementos eliminados", "mensajes eliminados", "eliminados",
		"cestino", "posta eliminata", "elementi eliminati", "messaggi eliminati", "lixeira", "lixo", "itens excluídos", "itens eliminados", "itens apagados",
		"prullenbak", "prullenmand", "verwijderde items", "verwijderd", "papperskorg", "papperskorgen", "borttaget", "borttagna objekt", "papirkurv", "papirkurven", "slettede elementer", "slettet post", "slettet mail", "roskakori", "poistetut",
		"kosz", "elementy usunięte", "koš", "odstraněná pošta", "odstránené", "kuka", "lomtár", "törölt elemek", "корзина", "удаленные", "удалённые", "кошик", "çöp kutusu", "çöp", "silinmiş öğeler", "κάδος απορριμμάτων", "coș de gunoi", "ゴミ箱", "削除済みアイテム", "已删除邮件", "已删除", "垃圾桶", "휴지통",
	},
	goimap.MailboxAttrArchive: {
		"archive", "archives", "archived", "archiv", "archivo", "archivos", "archivio", "arquivo", "arquivar", "archief", "arkiv", "arkisto", "archiwum", "archív", "архив", "архів", "arşiv", "αρχείο", "arhivă", "アーカイブ", "存档", "封存", "보관함",
		"all mail", "alle nachrichten", "tous les messages", "todos", "tutti i messaggi", "todos os e-mails", "alle e-mail",
	},
}

// roles are the same by name.
var roles = func() map[string]goimap.MailboxAttr {
	all := map[string]goimap.MailboxAttr{}
	for role, names := range roleNames {
		for _, name := range names {
			all[name] = role
		}
	}
	return all
}()

// markedRole is the use that a source's mark stands for, "" for none that we know. What
// Gmail marks as all mail holds what has left the inbox: its archive.
func markedRole(mark goimap.MailboxAttr) goimap.MailboxAttr {
	if strings.EqualFold(string(mark), string(goimap.MailboxAttrAll)) {
		return goimap.MailboxAttrArchive
	}
	for role := range roleNames {
		if strings.EqualFold(string(mark), string(role)) {
			return role
		}
	}
	return ""
}
