#!/usr/bin/env python3
"""Makes the support-desk demo data: train.jsonl and heldout.jsonl.

    python3 make_support_desk.py [FOLDER]      (default: the folder of this file)

The firm, Brindlewick Lamps, is made up, and so are its rules, products and
customers. Standard library only. Deterministic: the only chance comes from
rng() below, a generator spelled out here, so the files come out byte for byte
the same on every Python 3 and every machine.

Each topic below has
    answers  one or two wordings of one rule; the facts in them are the same
    ask      questions with {p} (a product), {ps} (its plural), {a} (with a/an)
    plain    questions without a product
    held     questions that only heldout.jsonl asks
    follow   a second question, for the rows with two turns
    items    the products that its questions name

heldout.jsonl asks, per topic, one `ask` question about a product that no
training row names (HELD_PRODUCTS), the `held` questions, and HELD_TWO_TURN. The
program stops if a question occurs twice or an answer is not 8 to 30 words long.
"""

import hashlib
import json
import os
import re
import sys

PER_TOPIC = 22          # single-turn training rows per topic
TWO_TURN = 15           # training rows with two turns
WITH_SYSTEM = 10        # training rows with a system message

SYSTEMS = [
    "You are the support desk of Brindlewick Lamps.",
    "You answer customers of Brindlewick Lamps briefly.",
]

LAMPS = ["lamp", "desk lamp", "floor lamp", "table lamp", "bedside lamp",
         "ceiling light", "lantern", "kitchen light", "oak lamp", "brass lamp",
         "Frühling desk lamp", "Étoile lantern", "red lamp", "globe lamp", "hall light",
         "copper lamp", "mirror light", "spotlight", "moon lamp", "garden lantern",
         "office lamp", "round lamp", "attic light", "tall lamp", "shelf light"]
PARTS = ["lamp shade", "cable", "bulb", "glass shade", "switch"]
ALL = LAMPS + PARTS
STANDING = ["lamp", "desk lamp", "floor lamp", "table lamp", "bedside lamp",
            "oak lamp", "brass lamp", "Frühling desk lamp", "red lamp", "copper lamp",
            "moon lamp", "office lamp", "round lamp", "tall lamp"]
HELD_PRODUCTS = ["reading lamp", "wall lamp", "chandelier", "pendant lamp",
                 "clip lamp", "night light", "piano lamp", "paper lamp"]
HELD_STANDING = ["reading lamp", "clip lamp", "piano lamp", "paper lamp"]

TOPICS = {
    "returns": dict(
        items=ALL,
        answers=["You can return any item within 30 days. Please bring or send the receipt with it.",
                 "Any item can be returned within 30 days. Please bring or send the receipt with it."],
        ask=["How do I return {a}?", "Can I send the {p} back?", "I want to return my {p}.",
             "I do not like the {p}. Can I bring it back?", "What is the return rule for {ps}?",
             "How many days do I have to return {a}?", "Do you take back {ps}?",
             "May I return the {p} that I bought last week?"],
        plain=["What is your return policy?", "Until when can I return something?",
               "Do I need the receipt for a return?", "The colour does not suit my room. Can I return it?",
               "Can I return a present that I was given?",
               "I changed my mind. How do I send it back?", "Is there a time limit for returns?", "Can I give things back in the shop?"],
        held=["The {p} is too big for my room. How can I give it back?",
              "How long is the return period?"],
        follow="And how many days do I have to return it?"),
    "refund": dict(
        items=ALL,
        answers=["We pay a refund within 5 working days, in the same way as you paid.",
                 "Your refund comes within 5 working days, in the same way as you paid."],
        ask=["When do I get the refund for my {p}?", "How long does the refund for {a} take?",
             "I sent the {p} back. When do I get my money?", "Where is the refund for the {p}?",
             "Have you paid the refund for my {p}?", "How will I get the money for the returned {p}?"],
        plain=["When will my refund arrive?", "How do you pay refunds?",
               "I am waiting for my refund.", "My refund has not come yet.",
               "Does the refund go to my card?", "How many days does a refund take?",
               "When do I get my money back?", "How soon will my money be back?", "What happens with my money after a return?"],
        held=["When will I see the refund for the {p} on my account?"],
        follow="And when do I get the refund?"),
    "warranty": dict(
        items=LAMPS,
        answers=["Every lamp has a warranty of 2 years. Please keep your receipt.",
                 "The warranty is 2 years on every lamp. Please keep your receipt."],
        ask=["How long is the warranty on the {p}?", "Does the {p} have a warranty?",
             "Is there a guarantee for {ps}?", "Is my {p} still under warranty?",
             "How many years of warranty does {a} have?", "What is the warranty for {ps}?",
             "What guarantee do I get with {a}?"],
        plain=["How long is your warranty?", "Do you give a guarantee?",
               "What do I need for a warranty claim?", "How many years is the guarantee?",
               "Does the warranty cover every lamp?",
               "What does your warranty say?", "Please explain the guarantee.", "Is there any warranty at all?"],
        held=["For how many years is the {p} under warranty?",
              "Tell me about your warranty."],
        follow="And how long is the warranty?"),
    "delivery": dict(
        items=ALL,
        answers=["Delivery takes 3 working days. We send your order on the day after you place it.",
                 "It takes 3 working days. We send your order on the day after you place it."],
        ask=["How long does delivery of {a} take?", "When will my {p} arrive?",
             "How fast can you deliver {a}?", "How many days until the {p} comes?",
             "I ordered {a} today. When will it be here?", "When do you deliver the {p}?",
             "How quickly do {ps} arrive?"],
        plain=["How long does delivery take?", "What is your delivery time?",
               "When will my order arrive?", "How long must I wait for my order?",
               "I order today. When do you deliver?",
               "Is your delivery fast?", "How soon can you deliver?", "What is the usual time for delivery?"],
        held=["What is the delivery time for {a}?"],
        follow="And how long does delivery take?"),
    "shipping cost": dict(
        items=ALL,
        answers=["Shipping is free from 50 euros. Below that it costs 5 euros.",
                 "Shipping is free from €50. Below that it costs €5."],
        ask=["How much is shipping for {a}?", "What does it cost to ship {a}?",
             "Is shipping free for the {p}?", "Do I pay for shipping if I buy {a}?",
             "What are the shipping costs for {ps}?", "How much do you charge to send {a}?",
             "Is postage free when I order two {ps}?"],
        plain=["When is shipping free?", "How much is shipping?", "What are your shipping costs?",
               "My order is 60 €. Is shipping free?", "My order is only 20 €. What is the shipping cost?",
               "From what amount do you ship for free?",
               "Do I have to pay for shipping?", "Is your shipping free?", "How much does it cost to send a parcel?"],
        held=["What do I pay for shipping {a}?", "Do you offer free shipping?"],
        follow="And how much is shipping?"),
    "repairs": dict(
        items=LAMPS,
        answers=["We do repairs on Tuesdays. Bring your lamp to the shop between 10 and 16 o'clock.",
                 "Repairs are on Tuesdays. Bring your lamp to the shop between 10 and 16 o'clock."],
        ask=["Can you repair my {p}?", "Where can I have {a} repaired?",
             "My {p} is broken. Can you fix it?", "Do you repair {ps}?",
             "My {p} needs a repair. When can I come?", "Could you mend an old {p}?",
             "Who can fix the switch on my {p}?"],
        plain=["When do you do repairs?", "On which day is the repair service open?",
               "Do you have a repair service?", "Can I bring something for repair?",
               "How do I get a repair?",
               "Do you fix old things?", "Could someone mend it for me?", "Something is not working. Can you repair it?",
               "On what day can it be fixed?"],
        held=["My {p} does not work any more. Do you fix such things?"],
        follow="And when can I bring it for repair?"),
    "bulb sizes": dict(
        items=STANDING + ["ceiling light", "lantern", "kitchen light", "Étoile lantern"],
        answers=["Floor lamps and ceiling lights take E27 bulbs. All other lamps take E14 bulbs.",
                 "You need E27 bulbs for floor lamps and ceiling lights. All other lamps take E14 bulbs."],
        ask=["Which bulb fits the {p}?", "What bulb do I need for {a}?",
             "Does the {p} take an E27 or an E14 bulb?", "What size of bulb goes into the {p}?",
             "Which bulb should I buy for my {p}?", "Will an E14 bulb fit my {p}?",
             "What is the bulb socket of the {p}?"],
        plain=["Which bulbs fit your lamps?", "What is the right bulb size?",
               "Where do I need E27 bulbs?", "Which lamps take E14 bulbs?",
               "E27 or E14: which bulb do I need?",
               "What kind of bulb do your lamps need?", "Which socket do your lamps have?", "I do not know what bulb to buy."],
        held=["What kind of bulb do I put in the {p}?", "Which bulb size do I need?"],
        follow="And which bulb does it take?"),
    "opening hours": dict(
        items=LAMPS,
        answers=["The shop is open from Monday to Saturday, 9 to 18 o'clock. We are closed on Sunday.",
                 "We are open from Monday to Saturday, 9 to 18 o'clock. We are closed on Sunday."],
        ask=["When can I come to the shop to see the {p}?", "What are your hours? I want to look at {a}.",
             "Until what time can I buy {a} in the shop?", "Is the shop open today? I need {a}."],
        plain=["When are you open?", "What are your opening hours?", "Is the shop open on Sunday?",
               "Are you open on Saturday?", "When does the shop close?", "At what time do you open?",
               "Is the shop open on Monday morning?", "Do you close at lunch time?",
               "How late is the shop open?", "On which days is the shop open?",
               "Can I visit the shop on Friday evening?",
               "From when to when are you open?"],
        held=["What time does the shop open?", "Are you open on Wednesday?"],
        follow="And when is the shop open?"),
    "invoices": dict(
        items=ALL,
        answers=["We send the invoice by e-mail. For a copy, please write us your order number.",
                 "You get the invoice by e-mail. For a copy, please write us your order number."],
        ask=["Where is the invoice for my {p}?", "I need an invoice for the {p}.",
             "Can I have a copy of the invoice for {a}?", "How do I get the invoice for my {p}?",
             "I lost the invoice for my {p}.", "Please send me the invoice for the {p}."],
        plain=["How do I get an invoice?", "Where do I find my invoice?",
               "Can you send me a copy of my invoice?", "There was no invoice in the parcel.",
               "Do you send invoices on paper?", "My office needs an invoice.",
               "Please send my invoice again.", "Could I get a second invoice?", "I need the invoice for my taxes."],
        held=["Could I get the invoice for the {p} again?", "I cannot find my invoice."],
        follow="And how do I get an invoice?"),
    "gift cards": dict(
        items=LAMPS,
        answers=["We sell gift cards from 10 to 200 euros. They are valid for 3 years.",
                 "Gift cards go from 10 to 200 euros. They are valid for 3 years."],
        ask=["Can I pay for {a} with a gift card?", "Is there a gift card for {ps}?",
             "Does a gift card work for the {p}?",
             "I would like to give a gift card instead of {a}."],
        plain=["Do you sell gift cards?", "How long is a gift card valid?", "How much can a gift card be?",
               "I want to buy a gift card.", "Does my gift card run out?", "Is my gift card still valid?",
               "Where can I buy a gift card?", "Can I get a gift card for 100 €?",
               "What is the smallest gift card?", "What is the largest gift card?",
               "My aunt loves lamps. Do you have gift cards?",
               "For how long does a gift card last?"],
        held=["For how many years can I use a gift card?", "May I use my gift card for {a}?"],
        follow="And do you sell gift cards?"),
    "order changes": dict(
        items=ALL,
        answers=["You can change an order within 12 hours. Please write us your order number and the change.",
                 "We can change an order within 12 hours. Please write us your order number and the change."],
        ask=["Can I change my order from {a} to another one?", "I want to add {a} to my order.",
             "I ordered the wrong {p}. Can I change the order?", "Can I change the colour of the {p} in my order?",
             "How do I change my order for {a}?", "Can I order two {ps} instead of one? I have ordered already."],
        plain=["Can I change my order?", "How do I change the address of my order?",
               "Until when can I change an order?", "I made a mistake in my order. Can I change it?",
               "Please change the address of my order.", "Is it too late to change my order?",
               "Could you change something in my order?", "Can I add one more thing to my order?",
               "I want to change what I ordered today."],
        held=["Could you add {a} to the order that I made today?", "I need to change something in my order."],
        follow="And can I still change the order?"),
    "cancelling": dict(
        items=ALL,
        answers=["You can cancel free of charge until we send the parcel. Please write us your order number.",
                 "Cancelling is free of charge until we send the parcel. Please write us your order number."],
        ask=["Can I cancel my order for {a}?", "I want to cancel my order for the {p}.",
             "Please cancel my order of two {ps}.", "How do I cancel the {p} that I ordered?",
             "I do not need the {p} any more. Can I cancel it?", "Does it cost anything to cancel an order for {a}?"],
        plain=["How do I cancel my order?", "Can I still cancel?", "Until when can I cancel an order?",
               "Is cancelling free?", "I ordered twice by mistake. Please cancel one order.",
               "What does it cost to cancel?",
               "Please cancel everything that I ordered.", "May I cancel an order that I made today?",
               "I bought it in another shop. Can I cancel?"],
        held=["I found {a} elsewhere. May I cancel my order?"],
        follow="And can I still cancel it?"),
    "recycling": dict(
        items=LAMPS,
        answers=["Bring old bulbs and batteries to the shop. The recycling box is next to the till.",
                 "We take old bulbs and batteries in the shop. The recycling box is next to the till."],
        ask=["What do I do with the old bulb of my {p}?", "Where can I recycle the battery of my {p}?",
             "The bulb of the {p} is dead. Where do I put it?", "Do you take the old battery of {a}?",
             "Can I recycle bulbs from {ps}?", "How do I throw away the battery from my {p}?"],
        plain=["Where can I recycle old bulbs?", "Do you take old batteries?",
               "What do I do with empty batteries?", "Is there a recycling box in the shop?",
               "May I put old bulbs in the bin?", "How do I recycle batteries?",
               "Where do used batteries go?", "I have a bag of dead bulbs. Where can I take them?", "Can you recycle these things for me?"],
        held=["Where do I take the dead bulb from {a}?", "Do you recycle used batteries?"],
        follow="And where can I recycle the old bulb?"),
    "payment": dict(
        items=ALL,
        answers=["You can pay by card or by bank transfer. In the shop you can also pay cash.",
                 "We take cards and bank transfers. In the shop you can also pay cash."],
        ask=["How can I pay for {a}?", "Can I pay cash for the {p}?", "Can I pay for the {p} by card?",
             "May I pay for {a} by bank transfer?", "How do I pay for the {p} that I ordered?",
             "In which ways can I pay for {ps}?"],
        plain=["How can I pay?", "Do you take cards?", "Which payment methods do you have?",
               "Can I pay by bank transfer?", "Can I pay cash in the shop?", "Is card payment possible?",
               "What are the ways to pay?", "Which kinds of payment do you take?", "Can I choose how I pay?"],
        held=["Which ways are there to pay for {a}?"],
        follow="And how can I pay?"),
    "damage": dict(
        items=LAMPS + ["lamp shade", "glass shade"],
        answers=["We are sorry. Send us a photo within 7 days and we send you a new one for free.",
                 "Sorry about that. Send us a photo within 7 days and we send you a new one for free."],
        ask=["My {p} arrived damaged.", "The {p} was broken when I opened the parcel.",
             "The {p} came with a crack. What now?", "My new {p} has a scratch from the transport.",
             "The parcel was crushed and the {p} is bent.", "The {p} was damaged on the way. What can I do?",
             "I opened the box and the {p} was in pieces."],
        plain=["My parcel arrived damaged.", "The glass was broken on arrival.",
               "What do I do if something arrives broken?", "The box was wet and crushed when it came.",
               "Everything in my parcel is broken.",
               "Something in the delivery is cracked.", "The delivery is damaged.", "It came today and it is broken."],
        held=["The delivery came today and the {p} is cracked.", "My order came damaged. What should I do?"],
        follow="And what if it arrives damaged?"),
    "tracking": dict(
        items=ALL,
        answers=["You get a tracking link by e-mail as soon as the parcel leaves our shop.",
                 "We send a tracking link by e-mail as soon as the parcel leaves our shop."],
        ask=["Where is the parcel with my {p}?", "How can I track my {p}?", "Can I track the parcel with the {p}?",
             "Is there a tracking number for my {p}?", "Has the parcel with the {p} left yet?",
             "How do I follow the parcel with my {p}?"],
        plain=["Where is my parcel?", "How do I track my order?", "Do I get a tracking number?",
               "I have no tracking link. How do I get it?", "Can I follow my parcel online?",
               "Can I see where my order is?",
               "How do I see the way of my parcel?", "Where can I see my parcel on a map?", "Please tell me where my parcel is now."],
        held=["How do I see where the parcel with my {p} is?"],
        follow="And how can I track the parcel?"),
    "spare parts": dict(
        items=STANDING, held_items=HELD_STANDING,
        answers=["We keep spare parts for 10 years. Write us the name of the lamp and the part.",
                 "Spare parts are kept for 10 years. Write us the name of the lamp and the part."],
        ask=["Do you have spare parts for the {p}?", "Can I buy a new shade for my {p}?",
             "Where do I get a new cable for the {p}?", "I need a spare switch for my {p}.",
             "The foot of my {p} is lost. Can I buy a new one?", "Can I order a single part for {a}?",
             "Do you sell spare shades for {ps}?"],
        plain=["Do you sell spare parts?", "How do I order a spare part?", "How long do you keep spare parts?",
               "I need a small part for an old lamp.", "Can I buy only the shade?",
               "Where can I find spare parts?", "I am searching for a spare screw.", "Can you send me a spare shade?"],
        held=["Where can I find a spare shade for my {p}?", "I am looking for a spare part."],
        follow="And can I get spare parts for it?"),
    "dimming": dict(
        items=LAMPS,
        answers=["Yes, if the bulb has a D on the box. Other bulbs do not work with a dimmer.",
                 "Dimming works if the bulb has a D on the box. Other bulbs do not work with a dimmer."],
        ask=["Can I dim the {p}?", "Does the {p} work with a dimmer?", "Is the {p} dimmable?",
             "Can I use a dimmer with {a}?", "May I connect my {p} to a dimmer?", "Are your {ps} dimmable?",
             "Is it possible to dim {a}?"],
        plain=["Can I dim your bulbs?", "Do your lamps work with a dimmer?",
               "Are the bulbs dimmable?", "Can I use any bulb with a dimmer?",
               "Could I put a dimmer on the wall?", "Can I make the light softer with a dimmer?", "Which bulbs work with a dimmer?"],
        held=["Could I put a dimmer on the {p}?"],
        follow="And can I dim it?"),
    "cleaning": dict(
        items=LAMPS + ["lamp shade", "glass shade"],
        answers=["Switch the lamp off, let it cool, and wipe it with a soft dry cloth. Use no water.",
                 "First switch the lamp off, let it cool, and wipe it with a soft dry cloth. Use no water."],
        ask=["How do I clean the {p}?", "What is the best way to clean {a}?", "My {p} is dusty. How do I clean it?",
             "Can I wash the {p} with water?", "How do I get the dust off my {p}?",
             "There is a spot on the {p}. How do I clean it?", "May I use soap to clean my {p}?"],
        plain=["How do I clean my lamps?", "Do you have a tip for cleaning?",
               "What do I need for cleaning a lamp?", "Can I clean a lamp with a wet cloth?",
               "How do I get dust off the glass?",
               "How should I clean the shade?", "What removes dust from a lamp?", "How do I wipe a lamp the right way?"],
        held=["How should I clean {a}?", "What is the right way to clean a lamp?"],
        follow="And how do I clean it?"),
    "outdoor use": dict(
        items=STANDING + ["lantern", "Étoile lantern"], held_items=HELD_STANDING,
        answers=["Only our lanterns may stay outside. All other lamps must be kept dry, inside the house.",
                 "Our lanterns may stay outside. All other lamps must be kept dry, inside the house."],
        ask=["Can I use the {p} outside?", "May I put the {p} in the garden?", "Is the {p} fit for outdoor use?",
             "Can the {p} stand on the balcony?", "Can the {p} stay in the rain?",
             "Is it safe to leave {a} outside?", "Are {ps} made for the garden?"],
        plain=["Which lamps can I use outside?", "Do you have lights for the garden?",
               "I need a light for my balcony.", "Which of your lamps may get wet?",
               "What can I hang outside the café door?",
               "Can I leave a lamp out in the snow?", "Is rain bad for your lamps?", "What light may stay out at night?"],
        held=["May I leave the {p} out in the rain?"],
        follow="And can I use it outside?"),
    "cable and plug": dict(
        items=STANDING, held_items=HELD_STANDING,
        answers=["The cable is 2 metres long. It has a switch and a European plug.",
                 "Every cable is 2 metres long. It has a switch and a European plug."],
        ask=["How long is the cable of the {p}?", "What plug does the {p} have?",
             "Is there a switch on the cable of the {p}?", "How many metres of cable does {a} have?",
             "Does the {p} come with a plug?", "What is the cable length of {ps}?",
             "Will the cable of the {p} reach 2 metres?"],
        plain=["How long are your cables?", "What kind of plug do your lamps have?",
               "Where is the switch?", "Is the cable long enough for 2 metres?", "Do all cables have a switch?",
               "What is the length of the cable?", "How far does the cable reach?", "Which plug do I get?"],
        held=["What is the length of the cable on the {p}?", "Which plug is on the cable?"],
        follow="And how long is the cable?"),
    "contact": dict(
        items=ALL,
        answers=["Write to Brindlewick Lamps at help@example.com. We answer within one working day.",
                 "Send Brindlewick Lamps a mail at help@example.com. We answer within one working day."],
        ask=["Who can I ask about the {p}?", "To what address do I write about my {p}?",
             "I have a long question about {a}. Where do I write?",
             "Where can I send a message about my {p}?"],
        plain=["How can I reach you?", "What is your e-mail address?", "How do I contact Brindlewick Lamps?",
               "Can I talk to a person?", "Where do I send a complaint?", "How fast do you answer mails?",
               "I live in Zürich. How can I write to you?",
               "To whom do I write?", "I want to write to the support desk.",
               "Where can I send a photo?", "How do I send you my order number?",
               "What is the best address for a question?"],
        held=["What is the best way to contact you?", "Where do I write with a question about {a}?"],
        follow="And how can I reach you?"),
}

HELD_TWO_TURN = [
    [("returns", "What must I do to return a chandelier?"), ("refund", "And how soon is the refund paid?")],
    [("delivery", "When would a night light reach me?"), ("shipping cost", "And what would the shipping cost?")],
]


class rng:
    """A 64-bit linear congruential generator (Knuth's MMIX constants)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        return (self.state >> 33) % n

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]


def fill(template, product):
    article = "an" if product[0].lower() in "aeioué" else "a"
    plural = product + ("es" if product.endswith("ch") else "s")
    return (template.replace("{a}", article + " " + product)
                    .replace("{ps}", plural).replace("{p}", product))


def greet(question, chance):
    """Some customers say hello or thanks."""
    k = chance.below(12)
    if k == 0:
        return "Hello! " + question
    if k == 1:
        return "Good morning. " + question
    if k == 2 and question.endswith("?"):
        return question + " Thank you."
    return question


def bare(question):
    q = re.sub(r"^(Hello! |Good morning\. )| Thank you\.$", "", question)
    return re.sub(r"\W+", " ", q.lower()).strip()


def row(*turns, system=None):
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


def training_questions(topic, chance):
    """PER_TOPIC questions: all plain ones, and the ask ones in turn over shuffled products."""
    out = list(topic["plain"])
    products = list(topic["items"])
    chance.shuffle(products)
    asks = list(topic["ask"])
    chance.shuffle(asks)
    k = 0
    while len(out) < PER_TOPIC:
        # step through the products and the questions together; a new lap shifts the pairing
        lap = k // (len(asks) * len(products))
        q = fill(asks[k % len(asks)], products[(k + lap) % len(products)])
        if q not in out:
            out.append(q)
        k += 1
    return out


def make():
    chance = rng(20240)
    train, held, names = [], [], list(TOPICS)

    def answer(topic):                       # the first wording twice as often as the second
        return topic["answers"][0 if chance.below(3) else 1]

    for name in names:
        topic = TOPICS[name]
        for q in training_questions(topic, chance):
            train.append(row((greet(q, chance), answer(topic))))

    # system messages on some single-turn rows
    for i in range(WITH_SYSTEM):
        train[i * 43 + 5]["messages"].insert(0, {"role": "system", "content": SYSTEMS[i % 2]})

    # two turns: a product question of one topic, then the follow-up of another
    pairs = [("damage", "tracking"), ("returns", "refund"), ("delivery", "payment"),
             ("bulb sizes", "dimming"), ("warranty", "repairs"), ("shipping cost", "delivery"),
             ("payment", "invoices"), ("cleaning", "warranty"), ("outdoor use", "bulb sizes"),
             ("order changes", "cancelling"), ("spare parts", "shipping cost"), ("repairs", "opening hours"),
             ("cable and plug", "outdoor use"), ("dimming", "returns"), ("tracking", "damage")]
    extra = ["blue lamp", "stair light", "small lantern", "white desk lamp"]
    for i, (first, second) in enumerate(pairs[:TWO_TURN]):
        a, b = TOPICS[first], TOPICS[second]
        product = extra[i % 2 * 3] if first in ("spare parts", "cable and plug") else extra[i % 4]
        q = fill(a["ask"][i % len(a["ask"])], product)
        train.append(row((q, answer(a)), (b["follow"], answer(b))))
    chance.shuffle(train)

    for i, name in enumerate(names):
        topic = TOPICS[name]
        products = topic.get("held_items", HELD_PRODUCTS)
        asked = [topic["ask"][i % len(topic["ask"])]] + topic["held"]
        for j, template in enumerate(asked):
            held.append(row((fill(template, products[(i + 3 * j) % len(products)]), topic["answers"][0])))
    for turns in HELD_TWO_TURN:
        held.append(row(*[(q, TOPICS[name]["answers"][0]) for name, q in turns]))
    held[10]["messages"].insert(0, {"role": "system", "content": SYSTEMS[0]})
    held[40]["messages"].insert(0, {"role": "system", "content": SYSTEMS[1]})
    return train, held


def check(train, held):
    seen = {}
    answers = {a for t in TOPICS.values() for a in t["answers"]}
    for where, rows in (("train", train), ("heldout", held)):
        for r in rows:
            turns = [m for m in r["messages"] if m["role"] != "system"]
            for m in turns:
                if m["role"] == "assistant":
                    assert m["content"] in answers
                    assert 8 <= len(m["content"].split()) <= 30, m["content"]
                else:
                    q = bare(m["content"])
                    assert q not in seen, (q, where, seen.get(q))
                    seen[q] = where
    words = " ".join(m["content"] for r in train for m in r["messages"])
    for p in HELD_PRODUCTS:
        assert p not in words, p


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    train, held = make()
    check(train, held)
    for name, rows in (("train.jsonl", train), ("heldout.jsonl", held)):
        data = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode("utf-8")
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
        print(hashlib.sha256(data).hexdigest(), len(rows), name)


if __name__ == "__main__":
    main()
