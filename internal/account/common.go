package account

import "strings"

// isCommon tells whether a password is among those that guessing begins with;
// capitals do not matter.
func isCommon(password string) bool {
	for known := range strings.FieldsSeq(common) {
		if strings.EqualFold(password, known) {
			return true
		}
	}
	return false
}

// common is the most used passwords of eight characters and more, in small
// letters: the tops of public counts of leaked ones, the UK's NCSC's among them
// (read in 2026), and the obvious ones for this product.
const common = `
00000000 000000000 0000000000 01020304 01234567 0123456789 09876543 0987654321 10101010 10203040 1029384756 11111111 111111111 1111111111
1111111111111111 11112222 1112131415 111222333 111222tianya 11223344 1122334455 112233445566 11235813 1123581321 12121212 1212121212
12312312 123123123 123123123123 1231231234 12312345 123123qwe 12321232 123321123 123321qwe 12341234 1234123412 12344321 123443211234
12345123 1234512345 123454321 1234554321 123456123 123456123456 12345654321 123456654321 12345678 12345678. 123456780 123456788 123456789
1234567890 1234567890- 12345678900 12345678901 123456789012 1234567891 12345678910 1234567891011 123456789123 123456789a 123456789abc
123456789b 123456789d 123456789j 123456789k 123456789m 123456789o 123456789q 123456789s 123456789x 123456789z 12345678@ 12345678a 12345678q
12345678s 12345679 1234567a 1234567b 1234567q 12345689 123456aa 123456aa@ 123456ab 123456abc 123456abcd 123456as 123456qw 123456qwe
123456qwerty 123456zxc 12345abc 12345abcd 12345asd 12345qwe 12345qwer 12345qwert 12345qwerty 12345zxc 1234abcd 1234asdf 1234qwer 1234rewq
1234zxcv 123654789 12369874 123698745 123789456 123abc123 123admin 123asd123 123hello 123qwe123 123qweasd 123qweasdzxc 123qwerty 12qw34er
12qwaszx 12wq12wq 13131313 1314520520 1357913579 13579246 135792468 1357924680 14141414 14142135 14725836 147258369 147852369 14789632
147896325 15151515 159357123 159357456 159753123 159753456 15975346 16161616 17171717 18181818 19191919 192837465 19841984 19851985 19861986
19871987 19881988 19891989 19901990 19911991 19921992 19931993 19941994 19951995 1a2b3c4d 1a2b3c4d5e 1a2s3d4f 1g2w3e4r 1password 1q1q1q1q
1q2w3e4r 1q2w3e4r! 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz!qaz 1qaz1qaz 1qaz2wsx 1qaz2wsx3edc 1qaz@wsx 1qazxsw2 1qazxsw23edc 1qwerty1
20002000 20012001 20102010 2012comeer 20202020 20242024 20252025 20262026 21212121 22222222 222222222 2222222222 22334455 22446688 23232323
23456789 24242424 24681012 246813579 24682468 25252525 25802580 2580258025 31415926 314159265 3141592653 321321321 32165498 321654987
32323232 33333333 333333333 333666999 34343434 36925814 369258147 369369369 44444444 444444444 45454545 456456456 456789123 4815162342
52013140 5201314520 5205201314 55555555 555555555 5555555555 56565656 654321654321 66666666 666666666 6666666666 69696969 74108520 741852963
7418529630 753159456 75395128 753951456 77777777 777777777 7777777777 78787878 789456123 7894561230 789456123a 789789789 87654321 876543210
88888888 888888888 8888888888 89898989 90909090 951753852 963852741 987456321 98765432 987654321 9876543210 987654321a 987987987 99999999
999999999 9999999999 a1234567 a12345678 a123456789 a1b2c3d4 a1b2c3d4e5 a1s2d3f4 a1s2d3f4g5 aa112233 aa123123 aa123456 aa12345678 aa123456789
aa@12345 aa@123456 aaa111aaa aaaa1111 aaaaaaaa aaaaaaaaa aaaaaaaaaa aabb1122 aabbccdd abc12345 abc123456 abc123456789 abc123abc abc@1234
abc@12345 abcabc123 abcd1234 abcd12345 abcd123456 abcd1234@ abcd4321 abcd@123 abcd@1234 abcdefg1 abcdefg123 abcdefgh abcdefghi abcdefghij
access14 adgjmptw adidas123 admin123 admin1234 admin12345 admin123456 admin2024 admin2025 admin@123 admin@1234 adminadmin adminisp
administrator adminpassword admintelecom adobe123 airforce1 alejandra alejandro aleksandr alessandra alessandro alexande alexander
alexander1 alexandra alexandre alliance allison1 amanda123 america1 american amoremio amsterdam anastasia anderson andrea123 andrew123
angel123 angelica anhyeuem anthony1 anthony123 argentina arsenal1 arsenal123 asasasas asd12345 asd123456 asdasd123 asdasdasd asdf1234
asdf12345 asdfasdf asdfgh123 asdfghjk asdfghjkl asdfghjkl1 asdfghjkl123 asdfqwer asdqwe123 asdzxc123 asshole1 august08 australia azerty123
azertyui azertyuiop babyblue babygirl babygirl1 babygirl12 badboy123 bailey123 barcelona barcelona1 baseball baseball1 basketball
basketball1 batman123 beatrice beautiful beautiful1 benjamin benjamin1 bestfriend bigdaddy bigdaddy1 bismillah blahblah blessed1 blessing
blink182 blue1234 bollocks bond0007 brandon1 brandon123 brittany brittany1 brooklyn brooklyn1 bulldogs bullshit business buster123 buttercup
butterfly butterfly1 california cameron1 captain1 caroline carpediem catherine champion changeit changeme changeme1 changeme123 changethis
charles1 charlie1 charlie123 charlotte chelsea1 chelsea123 cheyenne chicken1 children chocolat chocolate chocolate1 christian christian1
christina christina1 christine christmas christophe christopher ciaociao cjmasterinf claudia1 cocacola cocacola1 colorado columbia computer
computer1 computer123 consumer contrasena contraseña controls cooldude corvette courtney courtney1 cowboys1 creative crystal1 cupcake1
daddy123 dallas123 daniel123 daniela1 danielle danielle1 darkness december default1 demo1234 demo@123 deutschland diamond1 diamonds dinosaur
dolphin1 dolphins dragon12 dragon123 dragonball drowssap drowssap1 edward123 einstein electric elephant elizabeth elizabeth1 emmanuel
engineer enterprise estrella everton1 facebook facebook1 february fernando ferrari1 firebird fireman1 florence florida1 flower123 flowers1
football football1 football12 football123 forever1 forever21 fortune1 francesca francesco francisco franklin freddie1 freedom1 freedom123
friday13 friends1 friendship fuckoff1 fuckyou1 fuckyou123 fuckyou2 gabriel1 gabriela gangsta1 gangster garfield gateway1 geheim123 genesis1
geronimo ghbdtn123 giovanni giuseppe global123@ godisgood goldfish goodluck goodmorning google123 grandma1 green123 greenday greenday1
guest123 guinness gwerty123 hahaha123 hahahaha halloween handsome happiness happy123 hardcore hardware harley123 harrison harrypotter
heather1 hello123 hello1234 hello12345 hellohello hellokitty hercules hollister1 hollywood homelesspa hunter123 icecream icecream1 idontknow
ihateyou ihateyou1 iloveme1 iloveu123 iloveyou iloveyou! iloveyou1 iloveyou12 iloveyou123 iloveyou2 iloveyou3 imissyou immortal india123
india@123 infinity informatica insecure internet internet1 inuyasha isabella jackass1 jackson1 jamesbond january1 jasmine1 jasmine123
jeffrey1 jennifer jennifer1 jeremiah jessica1 jessica123 jesus123 jesuschrist jesusislord jiaxin123 johncena johncena1 jonathan jonathan1
jordan123 jordan23 joseph123 joshua123 juventus katherine kathleen kawasaki killer123 kimberly kimberly1 kingkong krishna1 ladybug1 lakers24
lasvegas lawrence lebron23 leonardo letmein! letmein1 letmein12 letmein123 letmeinn liberty1 linkedin linkedin1 linkinpark liverpool
liverpool1 liverpool123 lol12345 lol123456 lollipop london123 longhorn love1234 lovelove lovely123 loveme123 lovers12 loveyou1 loveyou2
lucky123 madison1 mahalkita mahalkoh majestic manchester manutd123 margaret marie123 mariposa marlboro marshall maryjane master123 masterkey
matthew1 matthew123 maverick maxwell1 megaparol12345 melissa1 mercedes mercedes1 metallica metallica1 mexico123 michael1 michael123 michelle
michelle1 microsoft midnight midnight1 million2 minecraft minecraft1 minecraft123 mitchell mohammed money123 monkey12 monkey123 monster1
montana1 morgan123 motdepasse motorola mountain muhammad mustang1 mypassword myspace1 myspace123 naruto123 natasha1 nathaniel newyork1
newyork123 nicholas nicholas1 nicole123 nintendo nirvana1 nonmember nothing1 november october1 oksana123 onemind1 onemind123 onemindai
orlando1 p@$$w0rd p@$$word p@55w0rd p@ssw0rd p@ssw0rd1 p@ssw0rd123 p@ssword p@ssword1 p@ssword123 pa$$w0rd pa$$word pa55w0rd pa55word
packers1 pakistan pakistan1 pakistan123 panasonic paradise parola123 pass1234 pass12345 pass123456 pass@123 pass@1234 pass@12345 passpass
passw0rd passw0rd! passw0rd1 passw0rd123 passwd123 password password! password!1 password. password0 password01 password1 password1!
password10 password11 password12 password123 password123! password1234 password12345 password123456 password2 password2023 password2024
password2025 password2026 password21 password22 password3 password4 password5 password6 password7 password8 password9 password99 password@1
password@123 passwordpassword passwort passwort1 patricia patrick1 peaches1 penelope pepper123 phoenix1 pineapple pineapples platinum
playboy1 poiuytre poiuytrewq pokemon1 pokemon123 polniypizdec0211 poohbear poohbear1 porsche1 portugal precious precious1 princesa princess
princess1 princess12 princess123 princess2 puppy123 purple123 q1234567 q12345678 q123456789 q1q2q3q4 q1w2e3r4 q1w2e3r4t5 q1w2e3r4t5y6
qazqazqaz qazwsx12 qazwsx123 qazwsxed qazwsxedc qazwsxedc123 qazwsxedcrfv qazxsw12 qazxswedc qq123123 qq123456 qqqqqqqq qqww1122 qw123321
qwaszx12 qwe12345 qwe123456 qwe123qwe qweasd12 qweasd123 qweasdzx qweasdzxc qweasdzxc123 qweqwe123 qweqweqwe qwer1234 qwer12345 qwer123456
qwer4321 qwerasdf qwerasdfzxcv qwerqwer qwert123 qwert1234 qwert12345 qwerty00 qwerty01 qwerty1! qwerty10 qwerty11 qwerty12 qwerty123
qwerty123! qwerty1234 qwerty12345 qwerty123456 qwerty123456789 qwerty321 qwerty77 qwerty78 qwerty@123 qwertyqwerty qwertyui qwertyuio
qwertyuiop qwertyuiop1 qwertyuiop123 qwertyuiop[] qwertz123 qwertzui qwertzuiop raiders1 rainbow1 rangers1 realmadrid rebecca1 redskins
remember richard1 robert123 rockstar rockstar1 ronaldo123 ronaldo7 root1234 rootroot runescape runescape1 rush2112 samantha samantha1
samsung1 samsung123 santiago saturday savannah savannah1 scooter1 scorpio1 scorpion scotland sebastian secret12 secret123 secret1234
security september serenity service1 shadow12 shadow123 shannon1 shopping simpsons slipknot slipknot1 snickers snowball soccer10 soccer12
soccer123 softball softball1 something southside1 spiderman spiderman1 spongebob spongebob1 srinivas standard stargate startfinding starwars
starwars1 steelers steelers1 stephanie stephanie1 sterling strawberry student1 student123 success1 summer123 summer2024 summer2025
summer2026 sunflower sunshine sunshine1 sunshine12 sunshine123 super123 superman superman1 superman123 superstar superuser supervisor
sweetheart sweetpea swimming swordfish system123 target123 teacher1 teddybear telechargement temp1234 temporal temppass terminator test1234
test12345 test123456 test@123 testing1 testing123 testpass testtest thankyou theworldinyourhand thomas123 thunder1 thunderbird tiffany1
tigger123 tinkerbell titanic1 together toronto1 toyota123 trinity1 trustno1 trustnoone turktelekom twilight twilight1 undertaker unicorn1
universal universe user1234 username usuario1 valentin valentina valentine vampire1 vanessa1 victoria victoria1 virginia vkontakte vladimir
vodafone volleyball warcraft warhammer webmaster welcome! welcome01 welcome1 welcome12 welcome123 welcome1234 welcome2 welcome@123 werewolf
westside westside1 whatever whatever1 william1 williams windows1 windowsxp winston1 winter123 winter2024 winter2025 winter2026 woaini1314
woaini520 wolverine wonderful writer123 wwwwwwww xbox360123 xxxxxxxx yankees1 yellow123 youtube1 zag12wsx zaq12wsx zaq1xsw2 zaq1zaq1
zaqwsx123 zaqwsxcde zaqxswcde zxasqw12 zxc12345 zxc123456 zxcv1234 zxcvbnm, zxcvbnm0 zxcvbnm1 zxcvbnm12 zxcvbnm123 zxcvbnm1234
zxcvbnm123456789 zxczxczxc zzzzzzzz
`
