using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>Reads the section <c>post_processor</c>: the tokens around a single text.</summary>
internal static class TemplateReader
{
    private const int MaxId = 1 << 24;

    /// <exception cref="ModelPackException">MP5031, MP5032.</exception>
    public static (ImmutableArray<int> Prefix, ImmutableArray<int> Suffix) Read(Json? section)
    {
        switch (section?.Get("type").Text())
        {
            case null or "ByteLevel": // About offsets only.
                return ([], []);
            case "TemplateProcessing":
                return Template(section);
            case "BertProcessing" or "RobertaProcessing":
                return ([Id(section.Get("cls"))], [Id(section.Get("sep"))]);
            case "Sequence":
                ImmutableArray<int> prefix = [];
                ImmutableArray<int> suffix = [];
                foreach (Json inner in section.Get("processors").Items())
                {
                    (ImmutableArray<int> before, ImmutableArray<int> after) = Read(inner);
                    (prefix, suffix) = ([.. before, .. prefix], [.. suffix, .. after]);
                }

                return (prefix, suffix);
            case string type:
                throw Json.NotSupported($"post_processor of type '{type}'");
        }
    }

    /// <summary>Of a pair of text and id.</summary>
    private static int Id(Json pair) => pair.Items() is [_, Json id] ? id.Integer(MaxId) : throw pair.Bad("post_processor: a token that is not a pair of text and id");

    private static (ImmutableArray<int> Prefix, ImmutableArray<int> Suffix) Template(Json section)
    {
        var prefix = new List<int>();
        var suffix = new List<int>();
        int texts = 0;
        foreach (Json item in section.Get("single").Items())
        {
            if (item.Find("SpecialToken") is Json special)
            {
                Json ids = section.Get("special_tokens").Get(special.Get("id").Text()).Get("ids");
                (texts == 0 ? prefix : suffix).AddRange(ids.Items().Select(i => i.Integer(MaxId)));
            }
            else
            {
                item.Get("Sequence");
                texts++;
            }
        }

        return texts == 1 ? ([.. prefix], [.. suffix]) : throw Json.NotSupported($"post_processor: a template with {texts} texts for one");
    }
}
